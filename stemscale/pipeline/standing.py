"""What of an output is there already and still right, and what is to be made."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stemscale.errors import StoreConflictError
from stemscale.store import (
    FRAME_STATUS,
    OUT_OF_RANGE,
    AcquisitionStore,
    BlockRecord,
    FramesArray,
    block_bounds,
    block_checksums,
    block_count,
    blocks_on_disk,
    rapid_group,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How far an output is.

    Attributes
    ----------
    todo : tuple of int
        Blocks to be made.
    done_frames : int
        Frames that are there already.
    failed : dict of int to str
        Blocks that an earlier run gave up, and why; not in ``todo``.
    """

    todo: tuple[int, ...]
    done_frames: int = 0
    failed: Mapping[int, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """What is to be written of one FOV.

    Attributes
    ----------
    fov : str
        Field of view.
    group : str
        Where the frames go.
    run : mapping
        What the ledger is to say.
    n_frames : int
        Frames to be written in all.
    block : int
        Frames in a block.
    halo : int
        Neighbours needed on either side of a frame.
    """

    fov: str
    group: str
    run: Mapping[str, Any]
    n_frames: int
    block: int
    halo: int

    @property
    def whole_series(self) -> bool:
        """Whether it is one frame made of all."""
        return bool(self.run["whole_series"])


def earlier_run(store: AcquisitionStore, group: str) -> dict[str, Any] | None:
    """Give what was being made under a name, from its ledger or, in a copy, from the group."""
    if not store.has(f"{group}/frames"):
        return None
    found = store.ledger(group).run() or store.attrs(group).get("run")
    return found or {"fingerprint": store.attrs(group).get("fingerprint")}


def find_standing(
    store: AcquisitionStore, output: Output, *, overwrite: bool, retry_failed: bool
) -> Standing:
    """Work out what of an output is to be made.

    Parameters
    ----------
    store : AcquisitionStore
    output : Output
    overwrite : bool
        Whether what was made otherwise is thrown away.
    retry_failed : bool
        Whether blocks that were given up are made after all.

    Returns
    -------
    Standing

    Raises
    ------
    StoreConflictError
        If what is there was made otherwise, or of raw frames that were others.
    """
    everything = range(block_count(output.n_frames, output.block))
    anew = Standing(todo=tuple(everything), failed={})
    earlier = earlier_run(store, output.group)
    if earlier is None:
        return anew
    frames = store.frames(output.group)
    conflict = _conflict(earlier, output, frames)
    if frames.shape[0] < output.n_frames:  # a run that followed a growing series may be ahead of it
        frames = frames.at_length(output.n_frames)
    ledger = store.ledger(output.group)
    records = {} if conflict else (ledger.records() or records_of_copy(store, output.group))
    blocks = RawBlocks(store, output)
    changed = [i for i, r in records.items() if i in everything and blocks.has_changed(r)]
    if changed and not conflict:
        first, _ = block_bounds(changed[0], output.n_frames, output.block)
        conflict = (
            f"the raw frames behind {len(changed)} of its blocks, from frame {first} on, are "
            "others than those it was made of"
        )
    if conflict:
        if overwrite:
            return anew
        raise StoreConflictError(
            f"{store.path}/{output.group}: {conflict}: give the new frames another --name, or "
            f"throw the old ones away with --overwrite"
        )
    good = FRAME_STATUS["done"]
    there = blocks_on_disk(frames, records)
    done = {
        i: r
        for i, r in records.items()
        if i in everything
        and all(s == good for s in r.status)
        and not blocks.has_grown(r)
        and (r.start, r.stop) == block_bounds(i, output.n_frames, output.block)
        and i in there
    }
    failed = {} if retry_failed else {i: w for i, w in ledger.failures().items() if i not in done}
    return Standing(
        todo=tuple(i for i in everything if i not in done and i not in failed),
        done_frames=sum(r.stop - r.start for r in done.values()),
        failed=failed,
    )


def _conflict(earlier: Mapping[str, Any], output: Output, frames: FramesArray) -> str:
    """Say why an output cannot go on from what is there, or nothing."""
    run = output.run
    of, of_now = earlier.get("whole_series"), run["whole_series"]
    if of and of_now and of != of_now:
        return f"was made of {of} frames, and the series has {of_now} by now"
    if earlier.get("fingerprint") != run["fingerprint"]:
        names = [k for k in run if k != "fingerprint" and k in earlier and earlier[k] != run[k]]
        return f"was made with another {', '.join(names) or 'run'}"
    if frames.shape[0] > output.n_frames:
        return f"has {frames.shape[0]} frames, and the series only {output.n_frames}"
    return ""


def restore_ledger(store: AcquisitionStore, output: Output) -> bool:
    """Make the ledger anew of an output that came without it; tell whether it had to be."""
    ledger = store.ledger(output.group)
    if ledger.run() is not None:
        return False
    ledger.start(output.run)
    for record in records_of_copy(store, output.group).values():
        ledger.commit(record)
    return True


class RawBlocks:
    """The raw blocks behind an output, as they are now."""

    def __init__(self, store: AcquisitionStore, output: Output) -> None:
        group = rapid_group(output.fov)
        raw = store.frames(group)
        self._n_frames = raw.shape[0] if output.whole_series else output.n_frames
        self._block = raw.block
        self._crcs = {i: crc for i, (_, crc) in block_checksums(store, group).items()}
        self._output = output

    def has_changed(self, record: BlockRecord) -> bool:
        """Tell whether a record was made of other frames; those that came since do not count."""
        if not record.input_crc32:
            return False
        of = self._frames_then(record)
        first, last = self._behind(record, of)
        ragged = of // self._block if of % self._block and of < self._n_frames else None
        then = dict(zip(range(first, last + 1), record.input_crc32, strict=False))
        return any(crc != self._crcs.get(i, crc) for i, crc in then.items() if i != ragged)

    def has_grown(self, record: BlockRecord) -> bool:
        """Tell whether frames came since that a block would have been made of, too."""
        of = self._frames_then(record)
        return of < self._n_frames and record.stop + self._output.halo > of

    def _frames_then(self, record: BlockRecord) -> int:
        return record.input_frames or self._n_frames

    def _behind(self, record: BlockRecord, of: int) -> tuple[int, int]:
        """First and last raw block that a record was made of."""
        if self._output.whole_series:
            return 0, block_count(of, self._block) - 1
        halo = self._output.halo
        first, last = max(0, record.start - halo), min(of, record.stop + halo)
        return first // self._block, (last - 1) // self._block


def records_of_copy(store: AcquisitionStore, group: str) -> dict[int, BlockRecord]:
    """Make records anew from a group that came without its ledger, as copies do."""
    if store.attrs(group).get("state") not in ("complete", "partial"):
        return {}
    frames = store.frames(group)
    with store.dataset(group) as dataset:
        names = [str(n) for n in dataset.data_vars if str(n).startswith(("psnr", OUT_OF_RANGE))]
        columns = {n: dataset[n].values for n in names}
        status = dataset["frame_status"].values if "frame_status" in dataset else None
    found = {}
    for index, (size, crc32) in block_checksums(store, group).items():
        start, stop = frames.bounds(index)
        found[index] = BlockRecord(
            block=index,
            start=start,
            stop=stop,
            size=size,
            crc32=crc32,
            status=[] if status is None else [int(s) for s in status[start:stop]],
            scores={n: _listed(c[start:stop]) for n, c in columns.items()},
        )
    return found


def _listed(values: Any) -> list[Any]:
    """Give floats as JSON has them: None for NaN."""
    known = np.asarray(values).astype(object)
    known[~np.isfinite(values)] = None
    listed: list[Any] = known.tolist()
    return listed
