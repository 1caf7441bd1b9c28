"""The zarr.json of every group and array, and the record of them all in the root's zarr.json."""

import json
import logging
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemscale.errors import DamagedDataError
from stemscale.store.ledger import write_json

logger = logging.getLogger(__name__)

FILE = "zarr.json"
CHECKSUM = "metadata_crc32"  # attribute of the root: nothing else could tell that the root changed

Node = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Nodes:
    """All groups and arrays below the root of a store.

    Attributes
    ----------
    found : dict of str to Node
        What their zarr.json says, by path.
    missing : set of str
        Paths of those that are on record, or have a folder, but no zarr.json.
    unreadable : dict of str to str
        Why a zarr.json cannot be read, by path.
    """

    found: dict[str, Node]
    missing: set[str]
    unreadable: dict[str, str]


def read_node(root: Path, path: str) -> Node | None:
    """Read the zarr.json of a group or array, or None where there is none.

    Raises
    ------
    DamagedDataError
        If it is not that of a group or array.
    """
    file = root / path / FILE
    try:
        node = json.loads(file.read_bytes())
        if not isinstance(node, dict) or node.get("node_type") not in ("group", "array"):
            raise ValueError("it describes neither a group nor an array")
        if not isinstance(node.setdefault("attributes", {}), dict):
            raise ValueError("its attributes are no JSON object")
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        raise DamagedDataError(
            f"{file} cannot be read ({error}): put it back from a copy of the store, or ingest "
            f"the files into a new one"
        ) from error
    return node


def read_root(root: Path) -> Node:
    """Read the zarr.json of the root of a store.

    Raises
    ------
    DamagedDataError
        If it is missing or damaged.
    """
    node = read_node(root, "")
    if node is None:
        raise DamagedDataError(f"{root / FILE} is missing: put it back from a copy of the store")
    return node


def recorded_nodes(root: Node) -> dict[str, Node] | None:
    """Give what the root has on record of all that is below it, or None where it has nothing."""
    try:
        nodes = root["consolidated_metadata"]["metadata"].items()
        return {p: {k: v for k, v in n.items() if k != "consolidated_metadata"} for p, n in nodes}
    except (KeyError, TypeError, AttributeError):
        return None


def find_nodes(root: Path, recorded: Mapping[str, Node]) -> Nodes:
    """Read every zarr.json below the root.

    Parameters
    ----------
    root : Path
        The store.
    recorded : mapping of str to Node
        Those that should be there, by path.

    Returns
    -------
    Nodes
    """
    nodes = Nodes(found={}, missing=set(recorded), unreadable={})
    groups = [""]
    while groups:
        group = groups.pop()
        for entry in os.scandir(root / group):
            if not entry.is_dir():
                continue
            path = f"{group}/{entry.name}".lstrip("/")
            nodes.missing.discard(path)
            node = None
            try:
                node = read_node(root, path)
            except DamagedDataError as error:
                nodes.unreadable[path] = f"cannot be read ({error.__cause__})"
            else:
                if node is None:
                    nodes.missing.add(path)
                else:
                    nodes.found[path] = node
            if (node or recorded.get(path, {})).get("node_type") == "group":
                groups.append(path)
    return nodes


def record_nodes(root: Path) -> None:
    """Gather every zarr.json below the root in that of the root, as zarr's consolidated metadata.

    What can no longer be read stays on record as it was, so that it is not forgotten.
    """
    node = read_root(root)
    before = recorded_nodes(node) or {}
    nodes = find_nodes(root, before)
    gathered = dict(nodes.found)
    for path in before.keys() & {*nodes.missing, *nodes.unreadable}:
        if (root / path).is_dir():
            logger.warning("%s is damaged: run `stemscale verify`", root / path / FILE)
            gathered[path] = before[path]
    inline = {"kind": "inline", "must_understand": False}
    for path, one in gathered.items():
        if one["node_type"] == "group":  # zarr nests the groups, and expects each to have this
            gathered[path] = {**one, "consolidated_metadata": {**inline, "metadata": {}}}
    # zarr also expects children of one parent to follow each other, after their parent.
    order = sorted(gathered, key=lambda p: (p.count("/"), p))
    node["consolidated_metadata"] = {**inline, "metadata": {p: gathered[p] for p in order}}
    node["attributes"][CHECKSUM] = _checksum(node)
    write_json(root / FILE, node)


def root_damage(root: Node) -> str | None:
    """Tell what is wrong with the zarr.json of the root, or None where nothing is."""
    checksum = root["attributes"].get(CHECKSUM)
    if checksum is None:  # a verb takes it away when it begins to change the root
        return "never finished"
    return None if checksum == _checksum(root) else "changed since it was written"


def same_node(one: Node, other: Node) -> bool:
    """Tell whether two zarr.json say the same."""
    return _text(one) == _text(other)


def _checksum(root: Node) -> int:
    attributes = {k: v for k, v in root["attributes"].items() if k != CHECKSUM}
    return zlib.crc32(_text({**root, "attributes": attributes}))


def _text(node: Node) -> bytes:
    return json.dumps(node, sort_keys=True).encode()  # as text, since NaN is not equal to NaN
