"""What `process` will do, known before a pixel is touched: blocks, bytes, what is skipped."""

from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stemscale.acquisition import ScanSettings
from stemscale.corrections import Calibration, Transfer, carry_over, load_calibration
from stemscale.denoising import SeriesScale, series_scale
from stemscale.distortion import DistortionMap, Interpolation
from stemscale.errors import DamagedDataError, SettingsError, StoreError
from stemscale.pipeline.asked import Asked
from stemscale.pipeline.drift import drift_recipe
from stemscale.pipeline.filters import FilterChoice
from stemscale.pipeline.growing import frames_recorded
from stemscale.pipeline.misfit import find_misfit
from stemscale.pipeline.run_record import run_record
from stemscale.pipeline.standing import Output, Standing, earlier_run, find_standing
from stemscale.pipeline.tuning import tuning_recipe
from stemscale.store import (
    AcquisitionStore,
    StorePath,
    block_count,
    filtered_group,
    frames_per_block,
    rapid_group,
)

FOLLOW_SCALE_FRAMES = 16
"""Frames that the scale of a growing series is taken from.

Simulated at 24 electrons a pixel, filtered frames differ from those with the usual 64 by 0.3 % of
the noise at most; with 8 by 0.8 %, with 4 by 1.2 %, with 1 by 3.8 %.
"""

_SCALE_FRAMES = 64
_COARSE = 32  # counts from dark to bright, of which an error of rounding is a hundredth
_WORKING_COPIES = 4  # of a block as float32: read, corrected, in the network, filtered


@dataclass(frozen=True, kw_only=True, slots=True)
class SeriesPlan(Output):
    """What is to be made of one FOV.

    Attributes
    ----------
    settings : ScanSettings
        Of the frames to be written.
    dtype : str
        Of a pixel.
    distortion : DistortionMap or None
        The map that corrects the frames.
    correction : str
        In words, for the plan and the attributes.
    transfer : Transfer or None
        Where the map is from, if from another store.
    trained_on : bool or None
        Whether the filter has seen this FOV in training; None for filters that do not learn.
    standing : Standing
        What is there already, and which blocks are to be made.
    misfit : tuple of str
        Where the series is clearly unlike what the filter was trained for, in sentences.
    rounding : str
        If its counts are so few that rounding filtered frames shows: so, in a sentence. Told when
        an output is begun, and not looked at again while a series grows.
    """

    settings: ScanSettings
    dtype: str
    distortion: DistortionMap | None
    correction: str
    transfer: Transfer | None
    trained_on: bool | None
    standing: Standing = Standing(todo=(), failed={})  # noqa: RUF009 (frozen)
    misfit: tuple[str, ...] = ()
    rounding: str = ""

    def looked_at(self, store: AcquisitionStore, asked: Asked) -> "SeriesPlan":
        """See what there is of it by now."""
        standing = find_standing(
            store, self, overwrite=asked.overwrite, retry_failed=asked.retry_failed
        )
        return replace(self, standing=standing)

    @property
    def todo(self) -> tuple[int, ...]:
        """Blocks to be made."""
        return self.standing.todo

    @property
    def frames_todo(self) -> int:
        """Frames to be written now."""
        return self.frames_of(self.todo)

    @property
    def frames_failed(self) -> int:
        """Frames that an earlier run gave up, and this one leaves alone."""
        return self.frames_of(self.standing.failed)

    def frames_of(self, blocks: Collection[int]) -> int:
        """Count the frames of some blocks."""
        last = block_count(self.n_frames, self.block) - 1
        short = last * self.block + self.block - self.n_frames  # frames that the last one lacks
        return len(blocks) * self.block - (short if last in blocks else 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessPlan:
    """What a run of `process` will do.

    Attributes
    ----------
    store : Path or ObjectPath
        The store.
    asked : Asked
        What the plan is for.
    choice : FilterChoice
        The filter.
    name : str
        Name of what is written.
    series : tuple of SeriesPlan
        One for each FOV.
    bytes_read, bytes_written : int
        Uncompressed [byte].
    bytes_per_task : int
        Largest working memory of one task [byte], without the network's own.
    """

    store: StorePath
    asked: Asked
    choice: FilterChoice
    name: str
    series: tuple[SeriesPlan, ...]
    bytes_read: int
    bytes_written: int
    bytes_per_task: int

    def as_it_stands(self, store: AcquisitionStore, groups: Container[str]) -> "ProcessPlan":
        """Look once more at what there is of some groups, before the work begins."""
        series = (s.looked_at(store, self.asked) if s.group in groups else s for s in self.series)
        return replace(self, series=tuple(series))

    @property
    def tasks(self) -> int:
        """Blocks to be made."""
        return sum(len(s.todo) for s in self.series)

    @property
    def frames(self) -> int:
        """Frames to be made."""
        return sum(s.frames_todo for s in self.series)


def plan_process(
    store: str | Path,
    *,
    filter: str | Path | None = None,  # the field's word, and the option's
    name: str | None = None,
    fovs: Sequence[str] = (),
    distortion: str | Path | None = None,
    force: bool = False,
    interpolation: Interpolation = "linear",
    dtype: str | None = None,
    window: int | None = None,
    weighted: bool = False,
    drift: bool = False,
    overwrite: bool = False,
    retry_failed: bool = False,
    follow: bool = False,
) -> ProcessPlan:
    """Work out what is to be done, and refuse what cannot be.

    Parameters
    ----------
    store : str or Path
        Folder of the store; only read here.
    filter : str or Path, optional
        A ``.safetensors`` file, or one of the words of `stemscale.pipeline.filters.WORDS`; by
        default ``standard``, which comes with the package.
    name : str, optional
        Name of the output; by default the word or the stem of the file.
    fovs : sequence of str
        By default all.
    distortion : str or Path, optional
        Another store whose distortion is carried over, or "none" for no correction; by default
        each FOV's own calibration, where it has one.
    force : bool
        Carry a distortion over although the scan settings differ.
    interpolation : {"linear", "cubic", "lanczos"}
        How frames are corrected, see `Warp`; `train` corrects its frames by "linear".
    dtype : {"float32"}, optional
        Keeps fractions of counts; by default frames are rounded to the dtype they were recorded in.
    window : int, optional
        For ``dcfi``.
    weighted : bool
        For ``dcfi``: whether frames weigh by their quality.
    drift : bool
        Whether all frames of a series are brought onto one grid: drift and distortion are undone
        in one interpolation, and what moved out of view is missing.
    overwrite : bool
        Whether output of that name that was made otherwise is thrown away.
    retry_failed : bool
        Whether frames that an earlier run gave up are made after all.
    follow : bool
        Whether series may still grow: what has been ingested of them so far is planned.

    Returns
    -------
    ProcessPlan

    Raises
    ------
    FilterError
        If the filter cannot be used.
    StoreConflictError
        If output of that name was made with another filter, calibration or setting, or of raw
        frames that have changed since. Frames that a growing series got since are no change.
    SeriesError
        If a distortion of another scan setting is to be carried over.
    SettingsError
        If the interpolation or the dtype is unknown, or there is nothing to force, or no drift to
        undo since the frames become one; or if what is asked for cannot follow a series that grows.

    Examples
    --------
    >>> from stemscale.pipeline import plan_process
    >>> plan = plan_process("run.zarr")
    >>> plan.name, plan.frames  # they are all there
    ('standard', 0)
    >>> plan = plan_process("run.zarr", filter="none", name="corrected")
    >>> plan.frames, plan.bytes_read  # 24 frames of 64 x 64 px of 16 bit
    (24, 196608)
    """
    asked = Asked(
        filter=filter,
        name=name,
        fovs=fovs,
        distortion=distortion,
        force=force,
        interpolation=interpolation,
        dtype=dtype,
        window=window,
        weighted=weighted,
        drift=drift,
        overwrite=overwrite,
        retry_failed=retry_failed,
    )
    return plan_asked(store, asked, follow=follow)


def plan_asked(store: str | Path, asked: Asked, *, follow: bool = False) -> ProcessPlan:
    """Do what `plan_process` does, of what is asked together."""
    target = AcquisitionStore(store)
    choice = asked.choice()
    name = asked.check(choice)
    if follow:
        asked.check_follows(choice)
    series = tuple(
        _plan_series(target, fov, asked, choice, name, follow=follow)
        for fov in target.require_fovs(list(asked.fovs))
    )
    read = written = largest = 0
    for plan in series:
        frames = target.frames(rapid_group(plan.fov))
        pixels_in = int(np.prod(frames.shape[1:]))
        pixels_out = plan.settings.n_x * plan.settings.n_y
        written += plan.frames_todo * pixels_out * np.dtype(plan.dtype).itemsize
        frames_in = frames.shape[0] if choice.whole_series and plan.todo else plan.frames_todo
        read += frames_in * pixels_in * frames.dtype.itemsize
        in_task = min(plan.block, frames.shape[0]) + 2 * choice.halo
        largest = max(largest, in_task * max(pixels_in, pixels_out) * 4 * _WORKING_COPIES)
    return ProcessPlan(
        store=target.path,
        asked=asked,
        choice=choice,
        name=name,
        series=series,
        bytes_read=read,
        bytes_written=written,
        bytes_per_task=largest,
    )


def _plan_series(
    store: AcquisitionStore,
    fov: str,
    asked: Asked,
    choice: FilterChoice,
    name: str,
    *,
    follow: bool,
) -> SeriesPlan:
    rapid = store.settings(rapid_group(fov))
    about = store.attrs(rapid_group(fov))
    if about.get("state") != "complete" and not follow:
        raise StoreError(
            f"{store.path}: {fov} was not ingested to its end: ingest it again, or "
            f"filter it as it grows, with --follow"
        )
    calibration, correction, transfer = _correction(store, fov, rapid, asked)
    settings = rapid if calibration is None else calibration.corrected_settings(rapid)
    frames = store.frames(rapid_group(fov))
    length = frames.shape[0]
    if follow:
        length = frames_recorded(store, fov, filtered_group(fov, name))
    elif choice.window is not None and choice.window > length:
        raise SettingsError(
            f"{fov} has {length} frames: --window {choice.window} is more; take a smaller "
            f"one, or leave it out for one average of all"
        )
    n_frames = 1 if choice.whole_series else length
    if choice.whole_series:
        settings = replace(settings, frame_time_s=None)
    group = filtered_group(fov, name)
    # what a growing series began with stays, or frames made before and after would not match
    kept = {} if asked.overwrite else earlier_run(store, group) or {}
    scale = _scale(
        store, fov, choice, kept, min(length, FOLLOW_SCALE_FRAMES if follow else _SCALE_FRAMES)
    )
    usual = frames.block if follow else frames_per_block(n_frames, *settings.shape)
    block = kept.get("block") or min(frames.block, usual)
    recipe = drift_recipe(store, fov) if asked.drift else None
    run = run_record(
        choice,
        calibration=calibration,
        interpolation=asked.interpolation,
        drift=recipe,
        tuning=tuning_recipe(store, fov, choice, settings.shape),
        scale=scale,
        settings=settings,
        n_frames=length,
        block=block,
        dtype=asked.dtype or str(frames.dtype),
    )
    plan = SeriesPlan(
        fov=fov,
        group=group,
        run=run,
        n_frames=n_frames,
        block=block,
        halo=choice.halo,
        settings=settings,
        dtype=asked.dtype or str(frames.dtype),
        distortion=None if calibration is None else calibration.distortion,
        correction=correction if recipe is None else f"{correction}; drift",
        transfer=transfer,
        trained_on=_trained_on(choice, about),
    ).looked_at(store, asked)
    misfit = find_misfit(
        store,
        fov,
        choice,
        settings=rapid,
        calibration=calibration,
        interpolation=asked.interpolation,
        scale=scale,
        n_frames=length,
    )
    return replace(plan, misfit=misfit, rounding="" if kept else _rounding(store, plan))


def _rounding(store: AcquisitionStore, plan: SeriesPlan) -> str:
    if np.dtype(plan.dtype).kind not in "iu" or not plan.todo:
        return ""
    try:
        low, high = np.percentile(store.first_frames(plan.fov, 1), (1, 99))
    except DamagedDataError:  # told of when its block is made
        return ""
    if high - low >= _COARSE:
        return ""
    lowest = " and 1 at least" if np.dtype(plan.dtype).kind == "u" else ""
    return (
        f"pixels hold {low:.0f} to {high:.0f} counts, and filtered ones whole counts{lowest}, so "
        "that rounding shows: --dtype float32 keeps fractions"
    )


def _scale(
    store: AcquisitionStore,
    fov: str,
    choice: FilterChoice,
    kept: Mapping[str, Any],
    count: int,
) -> SeriesScale | None:
    if choice.kind != "file":
        return None
    if kept.get("scale"):  # of the frames that the output was begun with, as --follow does early
        return SeriesScale(**kept["scale"])
    return series_scale(store.first_frames(fov, count))


def _correction(
    store: AcquisitionStore,
    fov: str,
    rapid: ScanSettings,
    asked: Asked,
) -> tuple[Calibration | None, str, Transfer | None]:
    """Find the map that corrects a FOV, and say where it is from."""
    if asked.distortion is None:
        found = load_calibration(store, fov)
        return found, "none (no calibration)" if found is None else f"own, by {found.method}", None
    if str(asked.distortion) == "none":
        return None, "none (as asked)", None
    what = f"{store.path}: {fov}"
    transfer = carry_over(rapid, asked.distortion, what=what, force=asked.force)
    return transfer.calibration, transfer.words(), transfer


def _trained_on(choice: FilterChoice, about: dict[str, Any]) -> bool | None:
    if choice.card is None:
        return None
    before = choice.card.get("started_from") or {}
    seen = [*(choice.card.get("fovs") or []), *before.get("fovs", [])]
    hashes = {f.get("content_hash") for f in seen if isinstance(f, dict)}
    return about.get("content_hash") in hashes
