"""Scores of every frame and filter, worked out on Dask, gathered into the group ``summary``."""

import logging
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from distributed import Client
from numpy.typing import NDArray

from stemscale.clusters import Tls, check_place, connect
from stemscale.corrections import fingerprint, map_of
from stemscale.distortion import DistortionMap
from stemscale.errors import (
    CorrectionLostError,
    StemscaleError,
    StoreUnavailableError,
)
from stemscale.pipeline.engine import run_blocks
from stemscale.pipeline.events import Listener, ScoringStarted, no_listener
from stemscale.pipeline.filters import FilterChoice
from stemscale.pipeline.scoring import (
    RAPID,
    ScoreRecord,
    ScoreTask,
    SeriesPart,
    score_stretch,
    truth_image,
)
from stemscale.pipeline.summary_group import SeriesScores, write_summary
from stemscale.store import (
    AcquisitionStore,
    filtered_group,
    frames_per_block,
    natural_order,
    rapid_group,
    store_path,
)

logger = logging.getLogger(__name__)

FloatArray = NDArray[np.float64]

_PROBED = 4  # stretches of a series, at most, that are tested as a whole
_FRAMES_A_PROBE = 1000  # for one more: a test takes as long as the scores of some hundred


@dataclass(kw_only=True)
class _Filter:
    """An output of a FOV, as far as its scores ask for it."""

    name: str
    group: str
    numbers: NDArray[np.int64]  # (frame,) of the rapid series
    beside: bool  # whether its frames are those of the rapid series, one for one
    corrected_alike: bool
    halo: int
    stored: dict[str, FloatArray]  # psnr, psnr_band as `process` has them
    rapid: dict[str, FloatArray]  # the same of its input


@dataclass(kw_only=True)
class _Fov:
    """What is to be scored of a FOV."""

    name: str
    n_frames: int
    shape: tuple[int, int]
    filters: list[_Filter]
    rapid: dict[str, FloatArray] = field(default_factory=dict)  # psnr, psnr_band, if known
    problem: str = ""  # why its rapid frames are not read


def summarize(
    store: str | Path,
    *,
    truth: str | Path | None = None,
    scheduler: str = "threads",
    workers: int | None = None,
    tls: Tls | None = None,
    cluster_file: str | Path | None = None,
    client: Client | None = None,
    listener: Listener = no_listener,
) -> xr.Dataset:
    """Score every frame of every FOV and filter, and write the scores to the store.

    Parameters
    ----------
    store : str or Path
        The store; its group ``summary`` is written anew.
    truth : str or Path, optional
        ``truth.zarr`` of a simulated acquisition: adds PSNR against the noise-free image with the
        background removed, and the smear that is left, against it.
    scheduler : str
        "threads" of this process, or as for `process`: "local" worker processes, "slurm",
        "kubernetes", or the address of a Dask scheduler, whose workers reach the store by the same
        path.
    workers : int, optional
        Worker processes, for "local".
    tls, cluster_file
        As for `process`.
    client : distributed.Client, optional
        To work on, in place of ``scheduler``.
    listener : callable
        Told of each stretch of frames that is scored, and of those that fail.

    Returns
    -------
    Dataset
        Over (fov, filter): ``n_frames``, ``trained``, and mean and standard deviation over frames
        of each score, as ``psnr_mean`` and ``psnr_std``; ``psnr_band_mean`` over
        (fov, filter, band); ``psnr_last``, that of the last frame (row Q9). Names in the
        attributes ``fov_names`` and ``filter_names``, "rapid" first (rows Q2, Q3); the rapid
        frames are scored as the calibration corrects them. In ``problems``, what could not be
        read. ``n_out_of_range`` over (fov, filter), -1 where it is not known, and by respect over
        ``n_out_of_range_by_respect`` (fov, filter, respect): frames outside what the filter was
        trained on; there only where a filter tells.

    Raises
    ------
    StoreError
        If there is no store, nothing in it, or no truth at that path.
    SettingsError
        If options do not go with the scheduler.
    ProcessingError
        If the workers or the store are gone for good.

    Notes
    -----
    The scores of each frame lie in ``summary/<fov>/<filter>``, and in ``summary/<fov>/rapid``,
    along ``frame``, with time and temperature beside them: PSNR (row Q1) and by band (Q3), after
    a gain match, the streak (Q6), tail and delay of the lag, the cut-off of agreement (Q5), and
    uPSNR, for which no slow scan is needed. Where the slow scan was taken after the series, the
    scene of a frame may be another one: all but the PSNR are then of the last ten frames alone.
    One stretch of every full 1,000 frames, at least one of a series and at most four, is tested as
    a whole: ring correlation of even and odd frames, noise (`frame_noise`), streak against other
    rapid frames, and the residual (`residual_test`). PSNR that `process` found is taken as it is.

    Examples
    --------
    >>> import stemscale
    >>> scores = stemscale.summarize("run.zarr")
    >>> scores.attrs["filter_names"]
    ['rapid', 'live', 'standard']
    >>> scores["psnr_mean"].attrs["units"], scores["n_frames"].values.tolist()  # of one FOV
    ('dB', [[24, 24, 24]])
    """
    target = AcquisitionStore(store)
    names = target.require_fovs([], even_compacting=True)
    if truth is not None:
        for name in names:
            truth_image(truth, name)
    fovs = [_look(target, name) for name in names]
    problems = [f"{fov.name}: {fov.problem}" for fov in fovs if fov.problem]
    jobs = check_place(
        scheduler,
        workers=workers,
        tls=tls,
        cluster_file=None if cluster_file is None else Path(cluster_file),
    )
    found = {fov.name: _empty(fov) for fov in fovs}
    tasks = [task for fov in fovs for task in _tasks(target, fov, truth)]
    listener(ScoringStarted(frames=sum(task.frames for task in tasks)))
    with ExitStack() as stack:
        if client is None:
            place = connect(scheduler, workers=workers, tls=tls, jobs=jobs)
            client = stack.enter_context(place)
        for task, record in run_blocks(client, score_stretch, tasks, listener, verb="score"):
            if isinstance(record, str):
                problems.append(f"{task.fov}: {record}")
            else:
                problems += [f"{task.fov}: {problem}" for problem in record.problems]
                _take(found[task.fov], record)
    command = f"summarize{'' if truth is None else ' with truth'}"
    return write_summary(target, found, sorted(problems), command=command)


def _look(store: AcquisitionStore, fov: str) -> _Fov:
    n_frames, n_y, n_x = store.frames(rapid_group(fov)).shape
    correction, problem = _map(store, fov)
    filters = [
        _look_at_filter(store, fov, name, n_frames, correction) for name in store.filters(fov)
    ]
    shape = (n_y, n_x) if correction is None else correction.shape
    found = _Fov(name=fov, n_frames=n_frames, shape=shape, filters=filters, problem=problem)
    for filtered in filters:
        if filtered.corrected_alike and filtered.rapid and len(filtered.numbers) == n_frames:
            found.rapid = filtered.rapid
    return found


def _map(store: AcquisitionStore, fov: str) -> tuple[DistortionMap | None, str]:
    """Read the map of a FOV; where it cannot be, say so: filtered frames have scores still."""
    try:
        return map_of(store, fov), ""
    except StoreUnavailableError:
        raise
    except CorrectionLostError as error:  # which names the remedy
        return None, str(error)
    except (StemscaleError, OSError, ValueError, KeyError, TypeError) as error:
        return None, f"the calibration cannot be read ({error}): run `stemscale verify`"


def _look_at_filter(
    store: AcquisitionStore,
    fov: str,
    name: str,
    n_frames: int,
    correction: DistortionMap | None,
) -> _Filter:
    group = filtered_group(fov, name)
    attrs = store.attrs(group)
    run = attrs.get("run") or {}
    count = store.frames(group).shape[0]
    with store.dataset(group) as dataset:
        numbers = np.arange(count)
        if "frame" in dataset.variables and dataset["frame"].size == count:
            numbers = dataset["frame"].values.astype(np.int64)
        complete = attrs.get("state") == "complete"
        stored = _stored(dataset, "psnr", count) if complete else {}
        rapid = _stored(dataset, "psnr_rapid", count) if complete else {}
    choice = FilterChoice.from_run(run["filter"]) if "filter" in run else None
    known = None if correction is None else fingerprint(correction)
    in_series = bool(np.all(np.diff(numbers) > 0) and numbers[-1:].sum() < n_frames)
    whole = choice is not None and choice.whole_series
    return _Filter(
        name=name,
        group=group,
        numbers=numbers,
        beside=in_series and not whole,
        corrected_alike=run.get("distortion") == known and not run.get("drift"),
        halo=0 if choice is None else choice.halo,
        stored=stored,
        rapid=rapid,
    )


def _stored(dataset: xr.Dataset, name: str, count: int) -> dict[str, FloatArray]:
    """Give PSNR and its bands as `process` left them, if it did so for each frame."""
    found = {"psnr": name, "psnr_band": f"{name}_band"}
    if not all(n in dataset and dataset[n].sizes.get("frame") == count for n in found.values()):
        return {}
    return {n: dataset[stored].values.astype(np.float64) for n, stored in found.items()}


def _tasks(store: AcquisitionStore, fov: _Fov, truth: str | Path | None) -> Iterator[ScoreTask]:
    """Cut a FOV into stretches; what is no frame of the series comes last."""
    run = secrets.token_hex(4)
    size = frames_per_block(fov.n_frames, *fov.shape)
    starts = range(0, fov.n_frames, size)
    probes = _probes(len(starts), fov.n_frames)
    beside = [f for f in fov.filters if f.beside]
    apart = 1 + max((f.halo for f in beside), default=0)
    shared: dict[str, Any] = {
        "store": str(store.path.absolute()),  # workers may be in another folder
        "fov": fov.name,
        "group": f"{fov.name}/scoring",
        "apart": apart,
        "truth": None if truth is None else str(store_path(truth).absolute()),
        "run": run,
    }
    for number, start in enumerate(starts):
        stop = min(start + size, fov.n_frames)
        yield ScoreTask(
            **shared,
            block=number,
            start=start,
            stop=start if fov.problem else stop,
            parts=tuple(part for f in beside for part in _part(f, start, stop)),
            paper=not fov.rapid,
            probe=number in probes,
        )
    for number, filtered in enumerate((f for f in fov.filters if not f.beside), len(starts)):
        count = len(filtered.numbers)
        for first in range(0, count, size):
            part = SeriesPart(
                name=filtered.name,
                start=first,
                stop=min(first + size, count),
                offset=None,
                corrected_alike=False,
                paper=not filtered.stored,
            )
            yield ScoreTask(
                **shared,
                block=number * 1_000_000 + first,
                start=0,
                stop=0,
                parts=(part,),
                paper=False,
                probe=False,
            )


def _part(filtered: _Filter, start: int, stop: int) -> Iterator[SeriesPart]:
    """Give the frames of a filter that lie within a stretch, in runs without a gap."""
    first, last = np.searchsorted(filtered.numbers, [start, stop])
    numbers = filtered.numbers[first:last]
    for piece in np.split(np.arange(first, last), np.flatnonzero(np.diff(numbers) > 1) + 1):
        if piece.size:
            yield SeriesPart(
                name=filtered.name,
                start=int(piece[0]),
                stop=int(piece[-1]) + 1,
                offset=int(filtered.numbers[piece[0]]) - start,
                corrected_alike=filtered.corrected_alike,
                paper=not filtered.stored,
                halo=filtered.halo,
            )


def _probes(count: int, n_frames: int) -> set[int]:
    """Choose stretches evenly over a series, in the middle of equal parts of it."""
    many = min(_PROBED, count, max(1, n_frames // _FRAMES_A_PROBE))
    return {int((i + 0.5) * count / many) for i in range(many)}


def _empty(fov: _Fov) -> dict[str, SeriesScores]:
    rapid = SeriesScores(count=fov.n_frames, scores=dict(fov.rapid))
    found = {RAPID: rapid}
    for filtered in sorted(fov.filters, key=lambda f: (f.name != "dcfi", natural_order(f.name))):
        found[filtered.name] = SeriesScores(
            count=len(filtered.numbers), scores=dict(filtered.stored), numbers=filtered.numbers
        )
    return found


def _take(series: dict[str, SeriesScores], record: ScoreRecord) -> None:
    """Put the scores of a stretch where they belong."""
    for name, start, scores in record.found:
        for score, values in scores.items():
            series[name].put(score, start, values)
    for name, tests in record.probed.items():
        for test, value in tests.items():
            series[name].probes.setdefault(test, []).append(value)
