"""A group of frames that grows while others read it."""

from collections.abc import Iterable, Mapping
from typing import Any

import xarray as xr
from numpy.typing import NDArray

from stemscale.store.acquisition_store import AcquisitionStore
from stemscale.store.arrays import NAME
from stemscale.store.files import remove_tree
from stemscale.store.grow_nodes import CHUNK, node_of, set_lengths, write_ahead
from stemscale.store.metadata import FILE, read_node, record_changed

_INDEX = "frame"


def make_growable(store: AcquisitionStore, group: str, columns: Mapping[str, Any]) -> None:
    """Write per-frame variables of a group in small chunks, so that `lengthen` need not move them.

    Parameters
    ----------
    store : AcquisitionStore
    group : str
        Path of a group of frames.
    columns : mapping of str to (dims, values, attrs)
        The coordinates along ``frame``, and other variables along it. Those that are not named
        are taken away.
    """
    along = {n: c for n, c in columns.items() if c[0] == _INDEX}
    _drop_others(store, group, (*along, NAME))
    named = store.attrs(f"{group}/{NAME}").get("coordinates", "").split()
    dataset = xr.Dataset(
        {n: c for n, c in along.items() if n not in (*named, _INDEX)},
        coords={n: c for n, c in along.items() if n in (*named, _INDEX)},
    )
    store.write_dataset(group, dataset, chunk=CHUNK)


def _drop_others(store: AcquisitionStore, group: str, kept: tuple[str, ...]) -> None:
    """Take away variables along ``frame`` that would not grow: none may stay behind.

    They are results, as PSNR, and are written again from the records of the blocks at the end.
    """
    for file in (store.path / group).glob(f"*/{FILE}"):
        name = file.parent.name
        node = read_node(store.path, f"{group}/{name}") or {}
        if name not in kept and (node.get("dimension_names") or [""])[0] == _INDEX:
            store.mark(group)
            remove_tree(file.parent)


def lengthen(
    store: AcquisitionStore,
    group: str,
    n_frames: int,
    columns: Mapping[str, NDArray[Any]],
    *,
    since: int,
    beside: Iterable[str] = (),
) -> None:
    """Make a group longer: first all values, then all shapes, within a moment.

    A reader that goes by the root, as xarray does by default, finds all arrays of one length at any
    time. One that opens the group itself just then may find two lengths, and has to open it once
    more. Blocks beyond the length in the store
    may be there before, see `FramesArray.at_length`.

    Parameters
    ----------
    store : AcquisitionStore
    group : str
        Path of a group of frames, after `make_growable`.
    n_frames : int
        Its new length; at least the present one.
    columns : mapping of str to ndarray, shape (n_frames,)
        All that the group has along ``frame``, but the frames.
    since : int
        First frame whose values are new, or others than before.
    beside : iterable of str
        Paths of arrays that others make longer: the root's record of them is brought up to date.
    """
    store.mark(group)
    nodes: dict[str, dict[str, Any]] = {}
    # The index is the last: where it is long enough, all are.
    for name in (NAME, *(n for n in columns if n != _INDEX), _INDEX):
        path = f"{group}/{name}"
        node = node_of(store, path)
        if name in columns and since < n_frames:
            write_ahead(store, path, columns[name][:n_frames], since=since)
        if node["shape"][0] != n_frames:
            nodes[path] = node
    set_lengths(store, nodes, n_frames)
    others = {path: read_node(store.path, path) for path in beside}
    record_changed(store.path, nodes | {p: n for p, n in others.items() if n is not None})
