"""The zarr.json of every group and array, and the record of them all in the root's zarr.json."""

import json
import logging
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from stemscale.errors import DamagedDataError
from stemscale.store.files import StorePath, write_json
from stemscale.store.object_path import ObjectPath

logger = logging.getLogger(__name__)

FILE = "zarr.json"
_AT_ONCE = 8
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


def read_node(root: StorePath, path: str) -> Node | None:
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


def read_root(root: StorePath) -> Node:
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


def find_nodes(root: StorePath, recorded: Mapping[str, Node]) -> Nodes:
    """Read every zarr.json below the root.

    Parameters
    ----------
    root : Path or ObjectPath
        The store.
    recorded : mapping of str to Node
        Those that should be there, by path.

    Returns
    -------
    Nodes
    """
    nodes = Nodes(found={}, missing=set(recorded), unreadable={})
    level = [""]
    with ThreadPoolExecutor(_AT_ONCE) as pool:  # each is a request or two, where a server has them
        while level:
            folders = chain.from_iterable(pool.map(partial(_folders, root), level))
            level = []
            for seen in pool.map(partial(_look, root), folders):
                if seen is None:
                    continue
                path, node, reason = seen
                nodes.missing.discard(path)
                if reason is not None:
                    nodes.unreadable[path] = reason
                elif node is None:
                    nodes.missing.add(path)
                else:
                    nodes.found[path] = node
                if (node or recorded.get(path, {})).get("node_type") == "group":
                    level.append(path)
    return nodes


def _folders(root: StorePath, group: str) -> list[str]:
    """Give the paths of the folders of a group."""
    folder = root / group
    if isinstance(folder, ObjectPath):
        found = [f.name for f in folder.folders()]
    else:
        found = [f.name for f in folder.iterdir() if f.is_dir()]
    return [f"{group}/{name}".lstrip("/") for name in found]


def _look(root: StorePath, path: str) -> tuple[str, Node | None, str | None] | None:
    """Give what a folder's zarr.json says, or why it cannot be read; None where nothing is left."""
    try:
        node = read_node(root, path)
    except DamagedDataError as error:
        return path, None, f"cannot be read ({error.__cause__})"
    if node is None and not (root / path).is_dir():  # some servers list what was emptied
        return None
    return path, node, None


def record_nodes(root: StorePath) -> None:
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


def record_changed(root: StorePath, changed: Mapping[str, Node]) -> None:
    """Put some zarr.json on record in that of the root anew, if they are on record there.

    Readers that go by the root see all of them change in one step.
    """
    node = read_root(root)
    recorded = node.get("consolidated_metadata", {}).get("metadata", {})
    known = {p: n for p, n in changed.items() if p in recorded}
    if not known:
        return
    recorded.update(known)
    if CHECKSUM in node["attributes"]:
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
