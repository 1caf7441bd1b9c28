"""A stretch of a series comes in; scores of each of its frames, raw and filtered, go out."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stemscale.acquisition import Frames, Image
from stemscale.corrections import find_correction, map_of
from stemscale.distortion import Warp
from stemscale.errors import (
    CorrectionLostError,
    DamagedDataError,
    FrameShapeError,
    SeriesError,
    StoreError,
)
from stemscale.pipeline.once import once
from stemscale.pipeline.pixels import FloatFrames
from stemscale.quality import (
    HALVES_THRESHOLD,
    FlatFrames,
    NeighbourScores,
    NeighbourSums,
    PaperScore,
    ReferenceScores,
    StripSums,
    coherence_cutoff,
    frame_noise,
    gather,
    independent_halves,
    mean_image,
    residual_test,
    streak,
)
from stemscale.quality.measures import Reference, of_frames
from stemscale.store import (
    AcquisitionStore,
    as_seen,
    fill_value,
    filtered_group,
    rapid_group,
    slow_group,
)

FloatArray = NDArray[np.float64]

RAPID = "rapid"
LEAST_PROBED = 2  # frames, for an even and an odd one
_KEPT = 4  # FOVs that a worker knows at a time
_RANGE = (0.005, 0.995)  # quantiles that a scene's range is taken from


@dataclass(frozen=True, kw_only=True, slots=True)
class SeriesPart:
    """Frames ``start`` to ``stop`` (exclusive) of a filter's output.

    Attributes
    ----------
    name : str
        Of the output.
    start, stop : int
        Places in its own array.
    offset : int or None
        Of its first frame from the first one of the stretch; None where its frames are none of
        the rapid series, as the average of all.
    corrected_alike : bool
        Whether its input was corrected as the rapid frames here are.
    paper : bool
        Whether the paper's PSNR is to be worked out, as the store does not have it.
    halo : int
        Neighbours on either side that the filter saw for each frame.
    """

    name: str
    start: int
    stop: int
    offset: int | None
    corrected_alike: bool
    paper: bool
    halo: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreTask:
    """What to score in one go.

    Attributes
    ----------
    store, fov : str
    group : str
        Names the work; with ``block`` it names the task.
    block : int
    start, stop : int
        Rapid frames of the stretch; none where both are equal.
    parts : tuple of SeriesPart
    paper : bool
        Whether the paper's PSNR of the rapid frames is to be worked out.
    apart : int
        How far neighbours are, that no filter saw for a frame.
    truth : str or None
        Path of the truth.
    probe : bool
        Whether to make the tests of a whole stretch as well: ring correlation, residual.
    run : str
        Names this run: what a worker knows of another one is old.
    """

    store: str
    fov: str
    group: str
    block: int
    start: int
    stop: int
    parts: tuple[SeriesPart, ...]
    paper: bool
    apart: int
    truth: str | None
    probe: bool
    run: str

    @property
    def frames(self) -> int:
        """Frames to be scored, raw and filtered."""
        return self.stop - self.start + sum(part.stop - part.start for part in self.parts)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreRecord:
    """What came of a stretch.

    Attributes
    ----------
    found : list of (str, int, dict)
        Type of image, the place of the first frame in its array, and scores (frame,) or
        (frame, band) by name.
    probed : dict
        By type of image, scores of the stretch by name.
    problems : list of str
        What could not be read.
    scores : dict
        None: they are in ``found``.
    seconds : dict
        By step.
    """

    found: list[tuple[str, int, dict[str, FloatArray]]]
    probed: dict[str, dict[str, float]]
    problems: list[str]
    seconds: dict[str, float]
    scores: dict[str, list[Any]] = field(default_factory=dict)


def score_stretch(task: ScoreTask) -> ScoreRecord:
    """Score the frames of a stretch; called in a worker.

    Parameters
    ----------
    task : ScoreTask

    Returns
    -------
    ScoreRecord

    Raises
    ------
    StoreError
        If there is no such series, or its server is away. Damaged frames are told as problems.
    """
    began = time.perf_counter()
    work = _known(task.run, task.store, task.fov, task.truth)
    found: list[tuple[str, int, dict[str, FloatArray]]] = []
    probed: dict[str, dict[str, float]] = {}
    problems: list[str] = []
    rapid = None
    if task.stop > task.start:
        try:
            rapid = _Stretch(work, task)
        except DamagedDataError as error:  # of a server that is away, the stretch is tried again
            problems.append(str(error))
    if rapid is not None:
        alike = any(part.corrected_alike for part in task.parts)
        more = [rapid.neighbours] if alike else []
        scores = work.score(rapid.flat, lambda: rapid.frames, *more, paper=task.paper)
        found.append((RAPID, task.start, {n: rapid.of_inner(v) for n, v in scores.items()}))
        if task.probe:
            probed[RAPID] = work.probe(rapid.inner) | {"range": _range(rapid.inner)}
    for part in task.parts:
        try:
            stored = work.filtered(part)
        except DamagedDataError as error:  # that of one filter takes nothing from the others
            problems.append(str(error))
            continue
        flat = FlatFrames(stored, unseen=fill_value(stored.dtype))
        alike = part.corrected_alike and rapid is not None and part.offset is not None
        beside = rapid.neighbours_of(flat, part) if rapid is not None and alike else None
        sums = [] if beside is None else [beside]
        scores = work.score(flat, partial(as_seen, stored), *sums, paper=part.paper)
        if beside is not None:
            scores["umse"] = beside.errors()
        found.append((part.name, part.start, scores))
        if task.probe and part.offset is not None:
            inputs = None
            if rapid is not None:
                inputs = rapid.beside(part) if alike else work.inputs(part, task.start)
            probed[part.name] = work.probe(as_seen(stored), inputs, halo=part.halo)
    return ScoreRecord(
        found=found,
        probed=probed,
        problems=problems,
        seconds={"score": time.perf_counter() - began},
    )


def truth_image(truth: str | Path, fov: str) -> FloatArray:
    """Read the noise-free image of a simulated FOV.

    Raises
    ------
    StoreError
        If there is none.
    """
    try:
        with xr.open_zarr(truth, group=fov, chunks=None) as dataset:
            return np.asarray(dataset["image"].values, dtype=np.float64)
    except (FileNotFoundError, KeyError, ValueError) as error:
        raise StoreError(
            f"{truth} has no truth of {fov}: give the truth.zarr of the simulation that the "
            f"frames are from"
        ) from error


class _Fov:
    """What all stretches of one FOV share within a worker."""

    def __init__(self, store: str, fov: str, truth: str | None) -> None:
        self.store, self.fov = AcquisitionStore(store), fov
        self.rapid = self.store.frames(rapid_group(fov))
        self._warps: list[Warp | None] = []
        self._lock = threading.Lock()
        slow = self.store.slow_image(fov)
        grid = slow_group(fov) if slow is not None else rapid_group(fov)
        self._pixel_size_nm = self.store.settings(grid).pixel_size_nm
        self._image, self._slow = slow, self._reference(slow)
        self._paper = None if slow is None else PaperScore(slow)
        self._scene = None if truth is None else truth_image(truth, fov)
        self._truth = self._reference(self._scene)

    def _reference(self, image: Image | None) -> ReferenceScores | None:
        return None if image is None else ReferenceScores(image, pixel_size_nm=self._pixel_size_nm)

    def corrected(self, start: int, stop: int) -> FloatFrames:
        """Read rapid frames, onto the corrected grid."""
        frames = self.rapid.read(start, stop)
        warp = self._warp()
        return frames.astype(np.float32) if warp is None else warp(frames)

    def _warp(self) -> Warp | None:
        with self._lock:  # read once, and only where rapid frames are
            if not self._warps:
                distortion = map_of(self.store, self.fov)
                self._warps.append(None if distortion is None else Warp(distortion))
            return self._warps[0]

    def filtered(self, part: SeriesPart) -> Frames:
        """Read filtered frames as they are stored."""
        array = self.store.frames(filtered_group(self.fov, part.name))
        return array.read(part.start, part.stop)

    def inputs(self, part: SeriesPart, first: int) -> FloatFrames | None:
        """Read rapid frames, corrected as those were that the filter got, drift and all.

        ``first`` is the number of the first frame of the stretch. None where it is not known how.
        """
        assert part.offset is not None
        found = find_correction(self.store, self.fov, filtered_group(self.fov, part.name))
        start = first + part.offset
        try:
            corrected = None if found is None else found.load()
        except CorrectionLostError:
            return None
        if corrected is None:
            return None
        return corrected(self.rapid.read(start, start + part.stop - part.start), start)

    def score(
        self, flat: FlatFrames, frames: Callable[[], FloatFrames], *more: StripSums, paper: bool
    ) -> dict[str, FloatArray]:
        """Score frames by all that there is of this FOV; those on another grid have no scores.

        ``frames`` are the same with NaN where nothing is seen, which only some scores ask for;
        what is in ``more`` is summed in the same go.
        """
        against = [
            None if one is None or one.shape != flat.shape[1:] else one.of(flat)
            for one in (self._slow, self._truth)
        ]
        gather(*(one for one in against if one is not None), *more)
        slow, truth = against
        found: dict[str, FloatArray] = {}
        if slow is not None:
            found |= slow.scores()
            if paper and self._paper is not None:
                scored = [self._paper(frame) for frame in frames()]
                found["psnr"] = np.array([whole for whole, _ in scored])
                found["psnr_band"] = np.array([bands for _, bands in scored])
        if truth is not None:
            scores = truth.scores()
            found |= {f"{name}_truth": scores[name] for name in ("lag_tail", "streak")}
        if slow is not None:
            found |= _by_frame(frames, "slow scan", self._image)
        if truth is not None:
            found |= _by_frame(frames, "truth", self._scene)
        return found

    def probe(
        self, frames: FloatFrames, inputs: FloatFrames | None = None, *, halo: int = 0
    ) -> dict[str, float]:
        """Make the tests of a whole stretch, which ask for no slow scan."""
        known = np.isfinite(frames).any(axis=(1, 2))
        one, other = independent_halves(int(known.sum()), halo)
        if one.size + other.size < LEAST_PROBED:
            return {}
        shown = frames[known]
        first = mean_image(shown[one])
        noise = frame_noise(shown[one], shown[other])
        found = {
            "frc_cutoff": self._agree_up_to(first, mean_image(shown[other])),
            "noise_along": noise.along,
            "noise_across": noise.across,
        }
        if inputs is not None and inputs.shape == frames.shape:
            seen = inputs[known]
            rapid = mean_image(seen[other])
            found["frc_rapid_cutoff"] = self._agree_up_to(first, rapid)
            found["noise_left"] = noise.sigma / frame_noise(seen[one], seen[other]).sigma
            found |= _residual(seen, shown, halo) | _streak(first, rapid)
        return found

    def _agree_up_to(self, one: Image, other: Image) -> float:
        return coherence_cutoff(
            one, other, pixel_size_nm=self._pixel_size_nm, threshold=HALVES_THRESHOLD
        )


def _by_frame(
    frames: Callable[[], FloatFrames], against: Reference, image: Image | None
) -> dict[str, FloatArray]:
    """Work out the measures of single frames; of one in which nothing is seen they are NaN."""
    measures = dict(of_frames(against))
    if not measures or image is None:
        return {}
    shown = frames()
    known = np.isfinite(shown).any(axis=(1, 2))
    found = {name: np.full(len(shown), np.nan) for name in measures}
    for name, measure in measures.items():
        found[name][known] = [measure(frame, image) for frame in shown[known]]
    return found


def _residual(inputs: FloatFrames, outputs: FloatFrames, halo: int) -> dict[str, float]:
    try:
        test = residual_test(inputs, outputs, halo=halo)
    except SeriesError:  # frames too narrow, or constant
        return {}
    return {
        "residual_likeness": test.likeness,
        "residual_lost": test.lost,
        "residual_clear": test.clear,
    }


def _streak(filtered: Image, rapid: Image) -> dict[str, float]:
    try:
        return {"streak_rapid": streak(filtered, rapid)}
    except FrameShapeError:  # frames too small
        return {}


class _Stretch:
    """Corrected rapid frames of a stretch, and their neighbours: all of them in ``frames``."""

    def __init__(self, work: _Fov, task: ScoreTask) -> None:
        count = work.rapid.shape[0]
        self._start, self._stop = task.start, task.stop
        self._first = max(0, task.start - task.apart)
        last = min(count, task.stop + task.apart)
        if last - self._first < task.stop - task.start + 2 * task.apart:  # an end of the series
            last = min(count, last + task.apart + 1)
            self._first = max(0, self._first - task.apart - 1)
        self.frames = work.corrected(self._first, last)
        self._last, self._apart = last, task.apart
        self.flat = FlatFrames(self.frames)
        pairs = [self._pair(number) for number in range(self._start, self._stop)]
        before, after = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        self.neighbours = NeighbourScores(self.flat, before, after)

    @property
    def inner(self) -> FloatFrames:
        """The frames of the stretch itself."""
        return self.of_inner(self.frames)

    def of_inner(self, values: NDArray[Any]) -> NDArray[Any]:
        """Cut off what is of the neighbours."""
        return values[self._start - self._first : self._stop - self._first]

    def beside(self, part: SeriesPart) -> FloatFrames:
        """Give the rapid frames that filtered ones were made of."""
        assert part.offset is not None
        return self.inner[part.offset : part.offset + part.stop - part.start]

    def neighbours_of(self, flat: FlatFrames, part: SeriesPart) -> NeighbourSums | None:
        """Compare filtered frames with rapid ones around them that the filter did not see."""
        if flat.shape[1:] != self.flat.shape[1:]:
            return None
        assert part.offset is not None
        return self.neighbours.of(flat, first=part.offset)

    def _pair(self, number: int) -> tuple[int, int]:
        """Choose two frames: one on either side, or both on one at an end of the series."""
        before, after = number - self._apart, number + self._apart
        if before < self._first:
            before = after + 1
        elif after >= self._last:
            after = before - 1
        inside = all(self._first <= n < self._last for n in (before, after))
        return (before - self._first, after - self._first) if inside else (-1, -1)


def _range(frames: FloatFrames) -> float:
    """Range of the scene, from the mean of the frames [counts]."""
    known = np.isfinite(frames).any(axis=(1, 2))
    if not known.any():
        return float("nan")
    mean = mean_image(frames[known])
    if not np.isfinite(mean).any():
        return float("nan")
    low, high = np.nanquantile(mean, _RANGE)
    return float(high - low)


@once(most=_KEPT)
def _known(run: str, store: str, fov: str, truth: str | None) -> _Fov:
    """Give what is known of a FOV; made once a worker, as two blocks of one FOV share most."""
    del run  # since the last run, the store may have changed
    return _Fov(store, fov, truth)
