"""A whole store as xarray sees it, lazily, ready for Dask: for scripts and notebooks."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stemscale.errors import StoreError
from stemscale.store.acquisition_store import AcquisitionStore
from stemscale.store.arrays import NAME
from stemscale.store.files import zarr_store
from stemscale.store.finish import STATUS_ATTRS
from stemscale.store.frame_states import frame_states
from stemscale.store.ledger import FRAME_STATUS
from stemscale.store.object_path import ObjectPath
from stemscale.store.patiently import opened_patiently

_AT_ONCE = 16
_STATUS = "frame_status"
_DONE = FRAME_STATUS["done"]


def open(store: str | Path | ObjectPath, *, partial: bool = False) -> xr.DataTree:
    """Open a store: all groups as a DataTree, frames over Dask, nothing read yet.

    Parameters
    ----------
    store : str, Path or ObjectPath
        Folder of the store, or its URL, as ``s3://bucket/run.zarr``.
    partial : bool
        Whether a series may have frames that are not there: for a look at a run that goes on, or
        that was cut short.

    Returns
    -------
    DataTree
        Below each FOV the groups ``rapid``, ``slow``, ``calibration`` and ``filtered/<name>``, as
        ``xarray.open_datatree`` gives them, and ``frames`` (frame, y, x) [counts] of each in Dask
        chunks of its own blocks, which are what lies in one file. Pixels that the scan did not see
        are NaN. Units and long names are in ``attrs``; ``frame_status`` has its codes in words in
        ``flag_values`` and ``flag_meanings``. Of a partial series, frames that are not there are
        NaN, and its ``frame_status`` tells which. It may be used in a ``with`` statement.

    Raises
    ------
    StoreError
        If there is no store; if a FOV is just being compacted; or, unless ``partial``, if frames
        of a series are not there.
    StoreUnavailableError
        If its server does not answer.

    Notes
    -----
    The chunks carry path or URL of the store only: a worker takes endpoint and credentials from
    its own environment. A store that grows is opened as long as it is at that moment; open it again
    for what came since.

    Examples
    --------
    Nothing is read before it is asked for:

    >>> import stemscale
    >>> tree = stemscale.open("run.zarr")
    >>> series = tree["fov01/filtered/standard"]
    >>> series["frames"].shape, series["frames"].chunksizes["frame"]
    ((24, 64, 64), (24,))
    >>> series["psnr"].dims, series["psnr"].attrs["units"]
    (('frame',), 'dB')
    >>> series["frames"].mean("frame").compute().shape
    (64, 64)
    """
    target = AcquisitionStore(store)
    tree = _open_tree(target)
    with ThreadPoolExecutor(_AT_ONCE) as pool:  # where a server is asked, for all at once
        list(pool.map(target.require_whole, tree.children))
    series = [n for n in tree.subtree if NAME in n.data_vars]
    statuses = {n.path: _statuses(target, n) for n in series if n.attrs.get("state") != "complete"}
    if not partial:
        _refuse_partial(target, statuses)
    token = uuid.uuid4().hex  # what is opened anew may have changed, and needs keys of its own

    def ready(node: xr.DataTree) -> xr.Dataset:
        dataset = _with_indexes(node.to_dataset(inherit=False))
        if NAME not in dataset.data_vars:
            return dataset
        name = f"{node.path.strip('/')}-{token}"
        return _in_blocks(dataset, statuses.get(node.path), name=name)

    nodes = list(tree.subtree)
    # Each asks a server several times, where there is one.
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for node, dataset in zip(nodes, pool.map(ready, nodes), strict=True):
            node.dataset = dataset
    _forget_chunks(tree)
    return tree


def _open_tree(store: AcquisitionStore) -> xr.DataTree:
    is_whole = False

    def open_once() -> xr.DataTree:
        nonlocal is_whole
        is_whole = store.is_consolidated()
        return xr.open_datatree(
            zarr_store(store.path),  # type: ignore[arg-type]
            engine="zarr",
            consolidated=is_whole,
            chunks=None,
            decode_timedelta=False,
            create_default_indexes=False,
        )

    return opened_patiently(open_once, give_up=lambda: is_whole)


def _statuses(store: AcquisitionStore, node: xr.DataTree) -> NDArray[np.uint8]:
    """Tell what became of each frame of a series that is not complete."""
    stored = node.dataset[_STATUS].values if _STATUS in node.data_vars else None
    return frame_states(store, node.path.strip("/"), node.sizes["frame"], stored=stored)


def _refuse_partial(store: AcquisitionStore, statuses: dict[str, NDArray[np.uint8]]) -> None:
    if not statuses:
        return
    path, status = next(iter(statuses.items()))
    counts = {word: int((status == code).sum()) for word, code in FRAME_STATUS.items()}
    missing = len(status) - counts.pop("done")
    if missing:
        which = ", ".join(f"{n} {word.replace('_', ' ')}" for word, n in counts.items() if n)
        lacks = f"{missing} of {len(status)} frames are missing: {which}"
    else:
        lacks = f"{len(status)} frames are there so far"
    others = f", and so are {len(statuses) - 1} more series" if len(statuses) > 1 else ""
    group = path.strip("/")
    raise StoreError(
        f"{store.path}: {group} is partial ({lacks}){others}: {_remedy(group, counts)}, or open "
        f"what is there with partial=True"
    )


def _remedy(group: str, counts: dict[str, int]) -> str:
    if group.endswith("/rapid"):
        return "run the same `stemscale ingest` or `live` again to its end"
    if counts["damaged_input"]:
        return "ingest the same files again, then run the same `stemscale process`"
    again = " with --retry-failed" if counts["failed"] else ""
    return f"run the same `stemscale process` again{again}"


def _with_indexes(dataset: xr.Dataset) -> xr.Dataset:
    """Read the coordinates that label a dimension, as xarray does by itself, one by one."""
    for dimension in dataset.dims:
        if dimension in dataset.coords:
            dataset = dataset.set_xindex(str(dimension))
    return dataset


def _in_blocks(dataset: xr.Dataset, status: NDArray[np.uint8] | None, *, name: str) -> xr.Dataset:
    """Put frames into Dask chunks of whole blocks, with NaN for those that are not there."""
    frames = dataset[NAME]
    block = (frames.encoding.get("shards") or frames.encoding["chunks"])[0]
    chunked = frames.copy(data=frames.variable.chunk({"frame": block}, name=name).data)
    if status is not None:
        dataset = dataset.assign({_STATUS: ("frame", status, STATUS_ATTRS)})
        if (status != _DONE).any():
            there = xr.DataArray(status == _DONE, dims="frame")
            chunked = chunked.where(there).assign_attrs(frames.attrs)
    return dataset.assign({NAME: chunked})


def _forget_chunks(tree: xr.DataTree) -> None:
    """Let a part be written elsewhere: the chunks of the whole would lie across those of the part.

    xarray refuses to write then.
    """
    for node in tree.subtree:
        for variable in node.dataset.variables.values():
            for how in ("chunks", "shards", "preferred_chunks"):
                variable.encoding.pop(how, None)
