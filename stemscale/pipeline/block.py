"""One task: read, correct, filter, score, write and record one block. Runs in a worker."""

import copy
import errno
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemscale.acquisition import Frames, Image
from stemscale.corrections import load_distortion, load_drift
from stemscale.denoising import SeenFrames, SeriesScale
from stemscale.distortion import integrate_frames
from stemscale.errors import (
    DamagedDataError,
    ProcessingError,
    StemscaleError,
    StoreUnavailableError,
)
from stemscale.pipeline.clock import Clock
from stemscale.pipeline.filters import FilterChoice
from stemscale.pipeline.ledger_files import load_parameters
from stemscale.pipeline.once import once
from stemscale.pipeline.pixels import FloatFrames, PixelWork, store_frame
from stemscale.pipeline.telling import tell_block
from stemscale.pipeline.worker_filters import worker_filter
from stemscale.quality import PaperScore
from stemscale.store import (
    FRAME_STATUS,
    OUT_OF_RANGE,
    OUT_OF_RANGE_FLAG,
    AcquisitionStore,
    BlockRecord,
    as_seen,
    be_brief,
    block_checksums,
    check_epoch,
    commit_block,
    fill_value,
    is_on_disk,
    rapid_group,
)

_REWRITTEN_S = 5.0  # within which a raw block that is written with more frames is there again
_LOOK_AGAIN_S = 0.02

_Score = tuple[float, tuple[float, ...]]  # PSNR in all (row Q1) and by band (row Q3) [dB]


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockTask:
    """Which block to make; all else is in the ledger.

    Attributes
    ----------
    store : str
        Path of the store.
    fov : str
        Field of view.
    group : str
        Where the frames go.
    block : int
        Number of the block.
    frames : int
        Frames in it.
    fingerprint : str
        Of the run.
    epoch : int
        Of the lease under which this may be written.
    run : str
        Names the run to the dashboard.
    picture : bool
        Whether to show it a frame.
    of : int
        Frames that the rapid series has by now, where it grows; 0: as many as the store says.
    """

    store: str
    fov: str
    group: str
    block: int
    frames: int
    fingerprint: str
    epoch: int
    run: str = ""
    picture: bool = False
    of: int = 0


def process_block(task: BlockTask) -> BlockRecord:
    """Make one block and record it; a second call finds the record and does nothing.

    Parameters
    ----------
    task : BlockTask

    Returns
    -------
    BlockRecord

    Raises
    ------
    ProcessingError
        If it fails; names FOV and frames.
    StoreConflictError
        If another run has taken over.
    """
    growing = task.of > 0
    work = _work(task.store, task.fov, task.group, task.fingerprint, task.epoch, growing)
    if growing:
        work = work.grown(task.of)
    there = work.ledger.record(task.block)
    of_same = there is not None and there.input_frames == work.input.shape[0]
    if there and of_same and there.epoch == task.epoch and is_on_disk(work.output, there):
        tell_block(task, there, seconds=there.seconds)  # whoever made it may have died over it
        return there  # a task may run twice
    start, stop = work.output.bounds(task.block)
    try:
        made = _make(work, start, stop)
    except DamagedDataError as error:
        made = _damaged(work, stop - start, error)
    except StemscaleError:
        raise
    except Exception as error:
        raise ProcessingError(
            f"{task.fov}: frames {start} to {stop - 1} failed in {task.group}: {error}"
        ) from error

    def still_mine() -> None:
        check_epoch(work.ledger.lease_file, task.epoch, what=f"{task.store}/{task.group}")

    began = time.perf_counter()
    try:
        record = commit_block(
            work.output,
            work.ledger,
            task.block,
            made.frames,
            still_mine=still_mine,
            input_crc32=made.input_crc32,
            input_frames=work.input.shape[0],
            epoch=task.epoch,
            status=made.status,
            scores=made.scores,
            counts=made.counts,
            seconds=made.seconds,
        )
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreUnavailableError(f"{task.store} cannot be written: no space left") from error
        raise

    def last_frame() -> tuple[Frames, FloatFrames]:
        last = record.stop - 1
        return work.input.read(last, last + 1)[0], as_seen(made.frames[-1])

    seconds = {**made.seconds, "write": time.perf_counter() - began}
    tell_block(task, record, seconds=seconds, frames=last_frame if task.picture else None)
    return record


def corrected_frames(
    store: AcquisitionStore, fov: str, group: str, first: int, last: int
) -> tuple[FloatFrames, Image | None]:
    """Give frames as the blocks of a run filter them.

    Parameters
    ----------
    store : AcquisitionStore
    fov : str
        Field of view.
    group : str
        Of the run.
    first, last : int
        Frames ``first`` to ``last - 1``.

    Returns
    -------
    frames : ndarray of float32, shape (frame, y, x)
        Corrected [counts]; NaN = not seen.
    slow : ndarray, shape (y, x), or None
        The slow scan, where it lies on the grid of the frames.

    Raises
    ------
    DamagedDataError
        If the raw data have changed.
    ProcessingError
        If there is no run.
    """
    run = store.ledger(group).run()
    if run is None:
        raise ProcessingError(f"{store.path}/{group}: nothing is being made there")
    work = _Work(str(store.path), fov, group, run)
    frames, _ = work.read(first, last)
    return work.pixels.correct(frames, first), work.slow


@dataclass(frozen=True, kw_only=True, slots=True)
class _Made:
    frames: Frames
    input_crc32: list[int]
    status: list[int]
    scores: dict[str, list[Any]]
    counts: dict[str, int]
    seconds: dict[str, float]


class _Work:
    """What all blocks of one FOV and filter share within a worker."""

    def __init__(
        self, store: str, fov: str, group: str, run: dict[str, Any], *, growing: bool = False
    ) -> None:
        self.store = AcquisitionStore(store)
        self.input = self.store.frames(rapid_group(fov))
        self.raw = self.store.ledger(rapid_group(fov))
        self.expected = None if growing else block_checksums(self.store, rapid_group(fov))
        self.output = self.store.frames(group)
        self.ledger = self.store.ledger(group)
        self.choice = FilterChoice.from_run(run["filter"])
        slow = self.store.slow_image(fov)
        on_grid = slow is not None and slow.shape == self.output.shape[1:]
        self.slow: Image | None = slow.astype(np.float64) if slow is not None and on_grid else None
        self._paper_score = None if self.slow is None else PaperScore(self.slow)
        sha256 = self.choice.sha256
        filter = None if sha256 is None else worker_filter(self.store.path, sha256)
        self._scale = None if run["scale"] is None else SeriesScale(**run["scale"])
        distortion = load_distortion(self.ledger)
        drift = load_drift(self.ledger) if run.get("drift") else None
        recorded = distortion is None and drift is None
        self._seen = None if filter is None else SeenFrames.of_card(filter.card, recorded=recorded)
        self.pixels = PixelWork(
            self.choice,
            distortion=distortion,
            rapid_shape=self.input.shape[1:],
            interpolation=run["interpolation"],
            drift=drift,
            filter=filter,
            scale=self._scale,
            parameters=load_parameters(self.ledger) if self.choice.classical else None,
        )

    def grown(self, n_frames: int) -> "_Work":
        """Give the same for a series that has so many frames by now."""
        now = copy.copy(self)
        now.input, now.output = (a.at_length(n_frames) for a in (self.input, self.output))
        return now

    def read(self, first: int, last: int) -> tuple[Frames, list[int]]:
        """Read raw frames, and the CRC-32 of the shards that they are in, see `read_checked`.

        The last block of a growing series may be written once more, with more frames, just now.

        Raises
        ------
        DamagedDataError
            If a shard is not what was recorded.
        ProcessingError
            If a block of a growing series is not there any more.
        """
        if self.expected is not None:
            return self.input.read_checked(first, last, self.expected)
        until = time.monotonic() + _REWRITTEN_S
        blocks = range(first // self.input.block, (last - 1) // self.input.block + 1)
        while True:
            records = {i: self.raw.record(i) for i in blocks}
            known = {i: (r.size, r.crc32) for i, r in records.items() if r is not None}
            try:
                if len(known) < len(blocks):
                    raise ProcessingError(f"{self.input.group}: raw frames are being written anew")
                return self.input.read_checked(first, last, known)
            except (DamagedDataError, ProcessingError):
                if time.monotonic() > until:
                    raise
                time.sleep(_LOOK_AGAIN_S)

    def score(self, frames: Iterable[FloatFrames]) -> list[_Score]:
        """Give the PSNR of frames against the slow scan; none where it is on another grid."""
        return [] if self._paper_score is None else [self._paper_score(f) for f in frames]

    def judge(self, corrected: FloatFrames) -> dict[str, list[Any]]:
        """Say how far outside what the filter was trained on frames lie, where its card tells."""
        if self._seen is None or self._scale is None:
            return {}
        found = [self._seen.judge(frame, self._scale) for frame in corrected]
        return {
            OUT_OF_RANGE: [_finite(round(f.score, 3)) for f in found],
            OUT_OF_RANGE_FLAG: [f.flag for f in found],
        }


def _make(work: _Work, start: int, stop: int) -> _Made:
    clock = Clock()
    if work.choice.whole_series:
        filtered, of_input, crcs = _whole_dcfi(work, clock)
    else:
        filtered, of_input, crcs = _frame_by_frame(work, start, stop, clock)
    n_frames = min(stop, work.output.shape[0]) - start
    stored = np.empty((n_frames, *work.output.shape[1:]), dtype=work.output.dtype)
    counts = {"clipped": 0, "masked": 0}
    psnr: list[_Score] = []
    for frame, into in zip(filtered, stored, strict=True):  # one by one, they stay in the cache
        with clock("convert"):
            seen, clipped, masked = store_frame(frame, into)
        counts["clipped"] += clipped
        counts["masked"] += masked
        with clock("score"):
            psnr += work.score([seen])
    if work.choice.kind == "none":  # what is written are the corrected rapid frames
        of_input = _named("psnr_rapid", psnr)
    return _Made(
        frames=stored,
        input_crc32=crcs,
        status=[FRAME_STATUS["done"]] * len(stored),
        scores=_named("psnr", psnr) | of_input,
        counts=counts,
        seconds=clock.seconds,
    )


def _frame_by_frame(
    work: _Work, start: int, stop: int, clock: Clock
) -> tuple[Iterable[FloatFrames], dict[str, list[Any]], list[int]]:
    halo = work.choice.halo
    first, last = max(0, start - halo), min(work.input.shape[0], stop + halo)
    mine = slice(start - first, stop - first)
    with clock("read"):
        frames, crcs = work.read(first, last)
    if work.choice.kind == "none":
        return _corrected(work, frames, first, clock), {}, crcs
    with clock("correct"):
        corrected = work.pixels.correct(frames, first)
    with clock("wait"), work.pixels.one_at_a_time, clock("filter"):
        filtered = work.pixels.filter(frames, corrected, first=first, which=mine)
    with clock("score"):
        scores = _named("psnr_rapid", work.score(corrected[mine])) | work.judge(corrected[mine])
    return filtered, scores, crcs


def _corrected(work: _Work, frames: Frames, first: int, clock: Clock) -> Iterator[FloatFrames]:
    """Correct frames, few at a time: what follows finds them in the cache."""
    for i in range(0, len(frames), work.pixels.at_once):
        with clock("correct"):
            corrected = work.pixels.correct(frames[i : i + work.pixels.at_once], first + i)
        yield from corrected


def _whole_dcfi(
    work: _Work, clock: Clock
) -> tuple[Iterable[FloatFrames], dict[str, list[Any]], list[int]]:
    """Average the whole series into one frame; psnr_rapid is then the mean over its frames."""
    rapid: dict[str, list[Any]] = {}
    crcs: list[int] = []

    def blocks() -> Iterator[Frames]:
        for index in range(work.input.n_blocks):
            start, stop = work.input.bounds(index)
            with clock("read"):
                frames, found = work.read(start, stop)
                crcs.extend(found)
            with clock("score"):
                scores = _named("psnr_rapid", work.score(work.pixels.correct(frames)))
                for name, values in scores.items():
                    rapid.setdefault(name, []).extend(values)
            yield frames

    with clock("filter"):
        average = integrate_frames(blocks(), weighted=work.choice.weighted).image
    with clock("correct"):
        corrected = work.pixels.correct(np.asarray(average)[None])
    means = {n: [_mean(np.array(v, dtype=np.float64))] for n, v in rapid.items()}
    return corrected, means, crcs


def _damaged(work: _Work, n: int, error: DamagedDataError) -> _Made:
    """Stand-in for a block whose input is damaged: marked, never filtered as if good."""
    dtype = work.output.dtype
    shape = (n, *work.output.shape[1:])
    return _Made(
        frames=np.full(shape, fill_value(dtype), dtype=dtype),
        input_crc32=[],
        status=[FRAME_STATUS["damaged_input"]] * n,
        scores={},
        counts={},
        seconds={},
    )


def _named(name: str, scores: list[_Score]) -> dict[str, list[Any]]:
    """Name the scores of frames as their record does; none where there is no slow scan."""
    if not scores:
        return {}
    return {
        name: [_finite(psnr) for psnr, _ in scores],
        f"{name}_band": [[_finite(psnr) for psnr in by_band] for _, by_band in scores],
    }


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _mean(values: NDArray[np.float64]) -> Any:
    known = np.where(np.isnan(values), 0.0, values).sum(axis=0)
    count = np.isfinite(values).sum(axis=0)
    mean = np.where(count > 0, known / np.maximum(count, 1), np.nan)
    return [_finite(v) for v in mean] if mean.ndim else _finite(float(mean))


@once(most=2)
def _work(store: str, fov: str, group: str, fingerprint: str, epoch: int, growing: bool) -> _Work:
    del epoch  # since the last run, the series may have grown
    be_brief()
    run = AcquisitionStore(store).ledger(group).run()
    if run is None or run.get("fingerprint") != fingerprint:
        raise ProcessingError(f"{store}/{group}: its run was replaced by another one meanwhile")
    return _Work(store, fov, group, run, growing=growing)
