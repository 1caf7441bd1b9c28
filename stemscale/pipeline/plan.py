"""What `process` will do, known before a pixel is touched: blocks, bytes, what is skipped."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stemscale.acquisition import ScanSettings
from stemscale.denoise import SeriesScale, series_scale
from stemscale.distortion import INTERPOLATIONS, DistortionMap, Interpolation
from stemscale.errors import SettingsError, StoreConflictError, StoreError
from stemscale.pipeline.calibration import Calibration, fingerprint, load_calibration
from stemscale.pipeline.drift import drift_recipe
from stemscale.pipeline.filters import FilterChoice, choose_filter, output_name
from stemscale.pipeline.misfit import find_misfit
from stemscale.pipeline.transfer import Transfer, carry_over
from stemscale.pipeline.tuning import tuning_recipe
from stemscale.store import (
    FRAME_STATUS,
    AcquisitionStore,
    block_count,
    filtered_group,
    frames_per_block,
    is_on_disk,
    rapid_group,
)

_WORKING_COPIES = 4  # of a block as float32: read, corrected, in the network, filtered


@dataclass(frozen=True, kw_only=True, slots=True)
class SeriesPlan:
    """What is to be made of one FOV.

    Attributes
    ----------
    fov : str
        Field of view.
    group : str
        Where the frames go.
    settings : ScanSettings
        Of the frames to be written.
    n_frames : int
        Frames to be written in all.
    block : int
        Frames in a block.
    todo : tuple of int
        Blocks to be made.
    done_frames : int
        Frames that are there already.
    dtype : str
        Of a pixel.
    distortion : DistortionMap or None
        The map that corrects the frames.
    correction : str
        In words, for the plan and the attributes.
    transfer : Transfer or None
        Where the map is from, if from another store.
    run : dict
        What is recorded in the ledger; the ``fingerprint`` tells it from any other run.
    trained_on : bool or None
        Whether the filter has seen this FOV in training; None for filters that do not learn.
    misfit : tuple of str
        Where the series is clearly unlike what the filter was trained for, in sentences.
    """

    fov: str
    group: str
    settings: ScanSettings
    n_frames: int
    block: int
    todo: tuple[int, ...]
    done_frames: int
    dtype: str
    distortion: DistortionMap | None
    correction: str
    transfer: Transfer | None
    run: dict[str, Any]
    trained_on: bool | None
    misfit: tuple[str, ...] = ()

    @property
    def frames_todo(self) -> int:
        """Frames to be written now."""
        last = block_count(self.n_frames, self.block) - 1
        ragged = self.n_frames - last * self.block
        return sum(ragged if b == last else self.block for b in self.todo)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessPlan:
    """What a run of `process` will do.

    Attributes
    ----------
    store : Path
        The store.
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

    store: Path
    choice: FilterChoice
    name: str
    series: tuple[SeriesPlan, ...]
    bytes_read: int
    bytes_written: int
    bytes_per_task: int

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
    window: int | None = None,
    weighted: bool = False,
    drift: bool = False,
    overwrite: bool = False,
) -> ProcessPlan:
    """Work out what is to be done, and refuse what cannot be.

    Parameters
    ----------
    store : str or Path
        Folder of the store; only read here.
    filter : str or Path
        A ``.safetensors`` file, or one of the words of `stemscale.pipeline.filters.WORDS`.
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
    window : int, optional
        For ``dcfi``.
    weighted : bool
        For ``dcfi``: whether frames weigh by their quality.
    drift : bool
        Whether all frames of a series are brought onto one grid: drift and distortion are undone
        in one interpolation, and what moved out of view is missing.
    overwrite : bool
        Whether output of that name that was made otherwise is thrown away.

    Returns
    -------
    ProcessPlan

    Raises
    ------
    FilterError
        If the filter cannot be used.
    StoreConflictError
        If output of that name was made with another filter, calibration or setting.
    SeriesError
        If a distortion of another scan setting is to be carried over.
    SettingsError
        If the interpolation is unknown, or there is nothing to force, or no drift to undo since
        the frames become one.
    """
    target = AcquisitionStore(store)
    if interpolation not in INTERPOLATIONS:
        raise SettingsError(
            f"interpolation {interpolation!r} is unknown: choose one of {', '.join(INTERPOLATIONS)}"
        )
    if force and (distortion is None or str(distortion) == "none"):
        raise SettingsError("--force is for a distortion of another scan: with --distortion STORE")
    choice = choose_filter(filter, window=window, weighted=weighted)
    if drift and choice.whole_series:
        raise SettingsError("--drift is for series: --filter dcfi aligns its frames by itself")
    name = output_name(choice, name)
    series = tuple(
        _plan_series(
            target, fov, choice, name, (distortion, force), interpolation, drift, overwrite
        )
        for fov in target.require_fovs(list(fovs))
    )
    read = written = largest = 0
    for plan in series:
        frames = target.frames(rapid_group(plan.fov))
        pixels_in = int(np.prod(frames.shape[1:]))
        pixels_out = plan.settings.n_x * plan.settings.n_y
        written += plan.frames_todo * pixels_out * np.dtype(plan.dtype).itemsize
        frames_in = frames.shape[0] if choice.whole_series and plan.todo else plan.frames_todo
        read += frames_in * pixels_in * frames.dtype.itemsize
        in_task = min(frames.block, frames.shape[0]) + 2 * choice.halo
        largest = max(largest, in_task * max(pixels_in, pixels_out) * 4 * _WORKING_COPIES)
    return ProcessPlan(
        store=target.path,
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
    choice: FilterChoice,
    name: str,
    distortion: tuple[str | Path | None, bool],
    interpolation: Interpolation,
    drift: bool,
    overwrite: bool,
) -> SeriesPlan:
    rapid = store.settings(rapid_group(fov))
    about = store.attrs(rapid_group(fov))
    if about.get("state") != "complete":
        raise StoreError(f"{store.path}: {fov} was not ingested to its end: ingest it again")
    calibration, correction, transfer = _correction(store, fov, rapid, *distortion)
    settings = rapid if calibration is None else calibration.corrected_settings(rapid)
    frames = store.frames(rapid_group(fov))
    if choice.window is not None and choice.window > frames.shape[0]:
        raise SettingsError(
            f"{fov} has {frames.shape[0]} frames: --window {choice.window} is more; take a smaller "
            f"one, or leave it out for one average of all"
        )
    n_frames = 1 if choice.whole_series else frames.shape[0]
    if n_frames == 1 and choice.whole_series:
        settings = replace(settings, frame_time_s=None, dwell_time_ns=settings.dwell_time_ns)
    scale = series_scale(store.first_frames(fov)) if choice.kind == "file" else None
    group = filtered_group(fov, name)
    block = frames_per_block(n_frames, *settings.shape)
    recipe = drift_recipe(store, fov) if drift else None
    tuning = tuning_recipe(store, fov, choice, settings.shape)
    run = _run(
        choice,
        calibration,
        interpolation,
        recipe,
        tuning,
        scale,
        settings,
        n_frames,
        block,
        str(frames.dtype),
    )
    if recipe is not None:
        correction += "; drift"
    todo, done_frames = _todo(store, group, run, n_frames, block, overwrite)
    return SeriesPlan(
        fov=fov,
        group=group,
        settings=settings,
        n_frames=n_frames,
        block=block,
        todo=todo,
        done_frames=done_frames,
        dtype=str(frames.dtype),
        distortion=None if calibration is None else calibration.distortion,
        correction=correction,
        transfer=transfer,
        run=run,
        trained_on=_trained_on(choice, about),
        misfit=find_misfit(
            store,
            fov,
            choice,
            settings=rapid,
            calibration=calibration,
            interpolation=interpolation,
            scale=scale,
        ),
    )


def _correction(
    store: AcquisitionStore,
    fov: str,
    rapid: ScanSettings,
    distortion: str | Path | None,
    force: bool,
) -> tuple[Calibration | None, str, Transfer | None]:
    """Find the map that corrects a FOV, and say where it is from."""
    if distortion is None:
        found = load_calibration(store, fov)
        return found, "none (no calibration)" if found is None else f"own, by {found.method}", None
    if str(distortion) == "none":
        return None, "none (as asked)", None
    transfer = carry_over(rapid, distortion, what=f"{store.path}: {fov}", force=force)
    return transfer.calibration, transfer.words(), transfer


def _run(
    choice: FilterChoice,
    calibration: Calibration | None,
    interpolation: Interpolation,
    drift: dict[str, Any] | None,
    tuning: dict[str, Any] | None,
    scale: SeriesScale | None,
    settings: ScanSettings,
    n_frames: int,
    block: int,
    dtype: str,
) -> dict[str, Any]:
    """Everything that the pixels of the output depend on, but for the input blocks themselves."""
    run: dict[str, Any] = {
        "filter": choice.to_run(),
        "distortion": None if calibration is None else fingerprint(calibration.distortion),
        "interpolation": interpolation if calibration is not None or drift else None,
        "scale": None if scale is None else {"center": scale.center, "spread": scale.spread},
        "shape": list(settings.shape),
        "dtype": dtype,
        "block": block,
        "whole_series": n_frames if choice.whole_series else None,
    }
    if drift is not None:
        run["drift"] = drift
    if tuning is not None:
        run["tuning"] = tuning
    content = json.dumps(run, sort_keys=True).encode()
    return {**run, "fingerprint": hashlib.sha256(content).hexdigest()}


def _todo(
    store: AcquisitionStore,
    group: str,
    run: dict[str, Any],
    n_frames: int,
    block: int,
    overwrite: bool,
) -> tuple[tuple[int, ...], int]:
    """Blocks to be made, and how many frames are there already."""
    everything = tuple(range(block_count(n_frames, block)))
    if not store.has(f"{group}/frames"):
        return everything, 0
    frames = store.frames(group)
    if frames.shape[0] != n_frames:
        if overwrite:
            return everything, 0
        raise StoreConflictError(
            f"{store.path}/{group} has {frames.shape[0]} frames, but the series has grown to "
            f"{n_frames} since: filter it under another --name, or anew with --overwrite"
        )
    ledger = store.ledger(group)
    before = ledger.run() or {"fingerprint": store.attrs(group).get("fingerprint")}
    if before.get("fingerprint") != run["fingerprint"]:
        if overwrite:
            return everything, 0
        changed = [k for k in run if k != "fingerprint" and k in before and before[k] != run[k]]
        raise StoreConflictError(
            f"{store.path}/{group} was made with another {', '.join(changed) or 'run'}: give the "
            f"new frames another --name, or throw the old ones away with --overwrite"
        )
    good = FRAME_STATUS["done"]
    done = {
        i: r
        for i, r in ledger.records().items()
        if is_on_disk(frames, r) and all(s == good for s in r.status)
    }
    n_done = sum(r.stop - r.start for r in done.values())
    return tuple(i for i in everything if i not in done), n_done


def _trained_on(choice: FilterChoice, about: dict[str, Any]) -> bool | None:
    if choice.card is None:
        return None
    seen = choice.card.get("fovs") or []
    hashes = {f.get("content_hash") for f in seen if isinstance(f, dict)}
    return about.get("content_hash") in hashes


def check_workers(workers: int | None) -> int | None:
    """Accept a number of worker processes.

    Raises
    ------
    SettingsError
        If it is not at least 1.
    """
    if workers is not None and workers < 1:
        raise SettingsError(f"--workers is {workers}, but must be at least 1")
    return workers
