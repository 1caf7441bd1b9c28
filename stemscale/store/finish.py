"""What the driver writes into a group once its blocks are made: scores, states, checksums."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stemscale.store.acquisition_store import AcquisitionStore
from stemscale.store.ledger import FRAME_STATUS, BlockRecord

STATUS_ATTRS = {
    "long_name": "what became of the frame",
    "flag_values": list(FRAME_STATUS.values()),
    "flag_meanings": " ".join(FRAME_STATUS),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameVariable:
    """A result of each frame that the block records carry.

    Attributes
    ----------
    attrs : mapping
        CF ``units`` and ``long_name``.
    more : tuple of (str, int)
        Further dimensions after ``frame``, with their lengths.
    dtype : str
        As stored. Frames without a result have NaN, and 0 where it is an integer.
    """

    attrs: Mapping[str, Any]
    more: tuple[tuple[str, int], ...] = field(default=())
    dtype: str = "float64"


def finish_frames(
    store: AcquisitionStore,
    group: str,
    records: Mapping[int, BlockRecord],
    *,
    variables: Mapping[str, FrameVariable] | None = None,
    failed_blocks: Collection[int] = (),
    with_status: bool = True,
) -> str:
    """Write per-frame results and per-block checksums of a group into the group itself.

    Parameters
    ----------
    store : AcquisitionStore
    group : str
        Path of the group of frames.
    records : mapping of int to BlockRecord
        Every block that is on disk.
    variables : mapping of str to FrameVariable, optional
        Results that the records carry as ``scores``.
    failed_blocks : collection of int
        Blocks that were tried and given up.
    with_status : bool
        Whether to write ``frame_status``.

    Returns
    -------
    str
        The state written: ``complete``, or ``partial`` where a frame is not done.
    """
    frames = store.frames(group)
    frames.drop_leftovers()
    n_frames = frames.shape[0]
    status = np.zeros(n_frames, dtype=np.uint8)
    sizes = np.zeros(frames.n_blocks, dtype=np.int64)
    crcs = np.zeros(frames.n_blocks, dtype=np.int64)
    for index, record in records.items():
        status[record.start : record.stop] = record.status or FRAME_STATUS["done"]
        sizes[index], crcs[index] = record.size, record.crc32
    for index in failed_blocks:
        status[slice(*frames.bounds(index))] = FRAME_STATUS["failed"]
    written: dict[str, Any] = _block_columns(sizes, crcs)
    if with_status:
        written["frame_status"] = ("frame", status, STATUS_ATTRS)
    for name, variable in (variables or {}).items():
        shape = (n_frames, *(n for _, n in variable.more))
        dims = ("frame", *(d for d, _ in variable.more))
        values = _gather(name, records, shape)
        if np.dtype(variable.dtype).kind in "ui":
            values = np.nan_to_num(values)
        written[name] = (dims, values.astype(variable.dtype), dict(variable.attrs))
    state = "complete" if bool((status == FRAME_STATUS["done"]).all()) else "partial"
    store.write_dataset(group, xr.Dataset(written))
    store.set_attrs(group, {"state": state})
    return state


def write_block_checksums(
    store: AcquisitionStore, group: str, records: Mapping[int, BlockRecord]
) -> None:
    """Write the per-block checksums of a group whose blocks are all on record, and nothing else."""
    rows = [(records[i].size, records[i].crc32) for i in range(len(records))]
    sizes, crcs = np.array(rows, dtype=np.int64).T
    store.write_dataset(group, xr.Dataset(_block_columns(sizes, crcs)))


def _block_columns(sizes: NDArray[np.int64], crcs: NDArray[np.int64]) -> dict[str, Any]:
    return {
        "block_size": ("block", sizes, {"units": "byte", "long_name": "size of the shard"}),
        "block_crc32": ("block", crcs, {"long_name": "CRC-32 of the shard"}),
    }


def _gather(
    name: str, records: Mapping[int, BlockRecord], shape: tuple[int, ...]
) -> NDArray[np.float64]:
    values = np.full(shape, np.nan)
    unknown = np.full(shape[1:], np.nan)
    for record in records.values():
        if name not in record.scores:
            continue
        # None, JSON's way to say NaN, may stand for all bands of a frame
        known = [unknown if value is None else value for value in record.scores[name]]
        values[record.start : record.stop] = np.array(known, dtype=np.float64)
    return values
