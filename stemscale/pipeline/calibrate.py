"""Estimate the distortion of a scan setting against slow scans, for all FOVs scanned with it."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from distributed import Client
from numpy.typing import NDArray

from stemscale.acquisition import Image, compare_scans
from stemscale.clusters import check_workers
from stemscale.corrections import Calibration, save_calibration
from stemscale.distortion import (
    Dcfi,
    DistortionMap,
    SplineFit,
    Warp,
    fit_spline,
    fit_strips,
    match_views,
    nominal_source,
    require_unsaturated,
    shared_map,
)
from stemscale.errors import DistortionError, SettingsError, ViewError
from stemscale.pipeline.average import average_series, averaging
from stemscale.pipeline.events import FovDone, Listener, no_listener
from stemscale.quality import zncc
from stemscale.store import AcquisitionStore, rapid_group, slow_group

logger = logging.getLogger(__name__)

METHODS = ("spline", "strips")


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibratedFov:
    """What came out for one FOV.

    Attributes
    ----------
    fov : str
        Field of view.
    estimated : bool
        Whether its own slow scan took part; else the map was carried over (row C7).
    zncc_before, zncc_after : float
        Agreement of DCFI and slow scan, uncorrected and corrected; NaN without a slow scan.
    span_px : float
        How far the map departs from a mere shift, largest minus smallest [px].
    source_x_std_px : float
        `DistortionMap.uncertainty_px`, by which maps are accepted.
    left_out : str or None
        Why its own slow scan took no part, where it has one.
    """

    fov: str
    estimated: bool
    zncc_before: float
    zncc_after: float
    span_px: float
    source_x_std_px: float
    left_out: str | None = None


def calibrate(
    store: str | Path,
    *,
    fovs: Sequence[str] = (),
    method: str = "spline",
    fit: SplineFit = SplineFit(),  # noqa: B008 (frozen)
    workers: int | None = None,
    client: Client | None = None,
    listener: Listener = no_listener,
) -> list[CalibratedFov]:
    """Estimate the distortion on FOVs that have a slow scan, and give it to all of their setting.

    Parameters
    ----------
    store : str or Path
        Folder of the store; a group ``calibration`` is written for each FOV.
    fovs : sequence of str
        FOVs to estimate on; by default all whose slow scan shows the same still view.
    method : {"spline", "strips"}
        The global fit, or the paper's strip search (rows C3 to C6).
    fit : SplineFit
        How the global fit is done, and when it is refused.
    workers : int, optional
        Processes that align the frames; by default one for each core, but none besides this one
        for less than 1024 frames of 512 x 512 px. The result does not depend on it.
    client : distributed.Client, optional
        A ready client to use instead.
    listener : callable
        Told of frames aligned, and of each FOV averaged and estimated.

    Returns
    -------
    list of CalibratedFov

    Raises
    ------
    SettingsError
        If the method is unknown, or has no such settings.
    DistortionError
        If no FOV has a slow scan to calibrate against, or the images do not allow it. Of several
        FOVs, one whose slow scan shows another area, or too little to tell, is left out instead.
    StoreError
        If a FOV named is not there.

    Notes
    -----
    Source: Ihara 2022, Method, "Distortion correction"; row C7 for the transfer.

    Examples
    --------
    >>> import stemscale
    >>> (found,) = stemscale.calibrate("run.zarr")
    >>> found.fov, found.zncc_after > found.zncc_before
    ('fov01', True)
    """
    check_workers(workers)
    if method not in METHODS:
        raise SettingsError(f"method {method!r} is unknown: choose one of {', '.join(METHODS)}")
    if method != "spline" and fit != SplineFit():
        raise SettingsError(f"--vary-y and --max-uncertainty are of method spline, not of {method}")
    target = AcquisitionStore(store)
    chosen = [f for f in target.require_fovs(list(fovs)) if _can_estimate(target, f, bool(fovs))]
    if not chosen:
        raise DistortionError(
            f"{target.path}: no FOV has a slow scan of the same still view to calibrate against: "
            f"ingest one with --slow, or process with --distortion STORE of one that has"
        )
    done = []
    ready = averaging(target, chosen, workers=workers) if client is None else nullcontext(client)
    with ready as client:
        averages = _averages(target, chosen, client, listener)
    for group, others in _by_setting(target, chosen):
        of_group = {f: averages[f] for f in group}
        done += _calibrate_setting(target, of_group, others, method, fit, listener)
    estimated = " ".join(c.fov for c in done if c.estimated)
    target.add_history(f"calibrate --method {method} on {estimated}")
    target.consolidate()
    return done


def _averages(
    store: AcquisitionStore, fovs: Sequence[str], client: Client | None, listener: Listener
) -> dict[str, Dcfi]:
    averages: dict[str, Dcfi] = {}
    for i, fov in enumerate(fovs, start=1):
        frames = store.frames(rapid_group(fov))
        middle = frames.shape[0] // 2
        require_unsaturated(frames.read(middle, middle + 1)[0], f"{fov}: rapid frame {middle}")
        averages[fov] = average_series(store, fov, client=client, listener=listener)
        listener(FovDone(fov=fov, done=i, total=len(fovs)))
    return averages


def _calibrate_setting(
    store: AcquisitionStore,
    averages: Mapping[str, Dcfi],
    others: Sequence[str],
    method: str,
    fit: SplineFit,
    listener: Listener,
) -> list[CalibratedFov]:
    group = list(averages)
    if len(group) == 1 and averages[group[0]].n_frames < 2:
        raise DistortionError(
            f"{group[0]} has one frame with contrast: its noise would be taken for structure; "
            f"calibrate on the average of two frames at least, or on several FOVs together"
        )
    slow: dict[str, Image] = {f: np.asarray(store.slow_image(f), dtype=np.float64) for f in group}
    leader = _scan_leaders(store, averages, slow)
    leaders = [f for f in group if leader.get(f, f) == f]
    maps, unlike = _estimate_those_alike(averages, slow, leaders, method, fit)
    left_out = {f: unlike[leader.get(f, f)] for f in group if leader.get(f, f) in unlike}
    leaders = list(maps)
    listener(FovDone(fov=group[-1], done=len(group), total=len(group)))
    shared = shared_map(list(maps.values()))
    ratio = _pixel_ratio(store, group[0], shared)
    found = []
    for fov in [*group, *others]:
        average = None if fov in left_out else averages.get(fov)
        calibration = Calibration(
            distortion=maps.get(leader.get(fov, fov), shared),
            rapid=store.settings(rapid_group(fov if average else group[0])),
            pixel_ratio=ratio,
            method=method,
            source=" ".join(leaders),
        )
        result = _result(fov, calibration, averages.get(fov), slow.get(fov), estimated=fov in maps)
        result = replace(result, left_out=left_out.get(fov))
        save_calibration(
            store,
            fov,
            calibration,
            dcfi=None if average is None else _corrected(average, calibration.distortion),
            shifts=None if average is None else average.shifts,
            attrs={
                "carried_over": fov not in maps,
                "zncc_before": _number(result.zncc_before),
                "zncc_after": _number(result.zncc_after),
            },
        )
        found.append(result)
    return found


def _estimate_those_alike(
    averages: Mapping[str, Dcfi],
    slow: Mapping[str, Image],
    fovs: Sequence[str],
    method: str,
    fit: SplineFit,
) -> tuple[dict[str, DistortionMap], dict[str, str]]:
    """Estimate the maps of FOVs, without those whose slow scan cannot be matched, and say why."""
    left_out: dict[str, str] = {}
    while True:
        alike = [f for f in fovs if f not in left_out]
        pairs = [(averages[f].image, slow[f]) for f in alike]
        try:
            return dict(zip(alike, _estimate(pairs, alike, method, fit), strict=True)), left_out
        except ViewError as error:
            if len(alike) == 1:
                raise
            left_out[alike[error.number]] = str(error)
            logger.warning("left out: %s", error)


def _scan_leaders(
    store: AcquisitionStore, averages: Mapping[str, Dcfi], slow: Mapping[str, Image]
) -> dict[str, str]:
    """Name for each FOV the one of its scan that shows the distortion best.

    Several detectors record one scan, with one distortion: the images of one of them tell it,
    and a detector that saw next to nothing is no hindrance.
    """
    leader: dict[str, str] = {}
    for fov in averages:
        together = store.attrs(fov).get("scanned_together") or [fov]
        able = [f for f in together if f in averages]
        if fov in leader or len(able) < 2:
            leader |= {f: able[0] for f in together if f not in leader}
            continue
        scores = {f: _view_score(averages[f].image, slow[f]) for f in able}
        leader |= dict.fromkeys(together, max(scores, key=lambda f: scores[f]))
    return leader


def _view_score(average: Image, slow: Image) -> float:
    try:
        found = match_views(average, slow)
    except DistortionError:
        return -1.0  # faint, or saturated
    return min(found.score_left, found.score_right)


def _estimate(
    pairs: list[tuple[Image, Image]], fovs: Sequence[str], method: str, fit: SplineFit
) -> list[DistortionMap]:
    if method == "spline":
        return fit_spline(pairs, names=fovs, settings=fit)
    # The paper estimates once, on an ideal FOV, and applies that to all (row C7): the FOV whose
    # corrected average agrees best with its slow scan is the ideal one.
    tried: list[tuple[float, DistortionMap]] = []
    reasons = []
    for fov, (dcfi, slow) in zip(fovs, pairs, strict=True):
        try:
            found = fit_strips(dcfi, slow)
        except DistortionError as error:
            reasons.append(f"{fov}: {error}")
            continue
        tried.append((zncc(Warp(found)(dcfi[None])[0], slow), found))
    if not tried:
        raise DistortionError("; ".join(reasons))
    best = max(tried, key=lambda t: t[0])[1]
    return [best] * len(pairs)


def _corrected(average: Dcfi, distortion: DistortionMap) -> Image:
    image: Image = Warp(distortion)(average.image[None])[0]
    return image


def _can_estimate(store: AcquisitionStore, fov: str, asked_for: bool) -> bool:
    if not store.has(slow_group(fov)):
        return False
    same = store.attrs(slow_group(fov)).get("relation") == "same"
    if asked_for and not same:
        raise DistortionError(
            f"{fov}: its slow scan was taken after the series and shows its end only: calibrate "
            f"on a still FOV, and give that store to process with --distortion"
        )
    return same


def _by_setting(
    store: AcquisitionStore, chosen: Sequence[str]
) -> list[tuple[list[str], list[str]]]:
    """Give FOVs that are calibrated together, and those that get their map, each of them once."""
    first = _first_of_setting(store)
    groups: dict[tuple[str, tuple[int, int]], list[str]] = defaultdict(list)
    for fov in chosen:
        groups[first[fov], store.settings(slow_group(fov)).shape].append(fov)
    others: dict[tuple[str, tuple[int, int]], list[str]] = {key: [] for key in groups}
    for fov in store.fovs():
        able = [key for key in groups if key[0] == first[fov]]
        if fov in chosen or not able:
            continue
        slow = store.settings(slow_group(fov)).shape if store.has(slow_group(fov)) else None
        # onto its own slow scan's grid if it can be, else onto the one that most have
        others[max(able, key=lambda k: (k[1] == slow, len(groups[k])))].append(fov)
    return [(groups[key], others[key]) for key in groups]


def _first_of_setting(store: AcquisitionStore) -> dict[str, str]:
    """Name for each FOV the first one of its scan setting.

    A dwell time or flyback that a FOV's file does not tell is taken to be that of the others, if
    these have but one.
    """
    scans = {f: store.settings(rapid_group(f)) for f in store.fovs()}
    unknown = {f: compare_scans(s, s).unknown for f, s in scans.items()}
    first: dict[str, str] = {}
    for fov in sorted(scans, key=lambda f: len(unknown[f])):  # those that tell all come first
        known = dict.fromkeys(first.values())
        alike = [f for f in known if not compare_scans(scans[fov], scans[f]).different]
        whole = [f for f in alike if not unknown[f]]
        same = [f for f in alike if unknown[f] == unknown[fov]]
        first[fov] = whole[0] if len(whole) == 1 else next(iter(same), fov)
    return first


def _pixel_ratio(store: AcquisitionStore, fov: str, distortion: DistortionMap) -> float:
    slow, rapid = store.settings(slow_group(fov)), store.settings(rapid_group(fov))
    if slow.pixel_size_nm is not None and rapid.pixel_size_nm is not None:
        return slow.pixel_size_nm / rapid.pixel_size_nm
    return rapid.n_x / distortion.shape[1]


def _result(
    fov: str,
    calibration: Calibration,
    average: Dcfi | None,
    slow: NDArray[np.float64] | None,
    *,
    estimated: bool,
) -> CalibratedFov:
    before = after = float("nan")
    distortion = calibration.distortion
    if slow is not None and average is not None:
        after = zncc(_corrected(average, distortion), slow)
        if slow.shape == average.image.shape:
            before = zncc(average.image, slow)
    nominal = nominal_source(distortion.shape[1], calibration.pixel_ratio)
    departure = distortion.source_x.mean(axis=0) - nominal
    return CalibratedFov(
        fov=fov,
        estimated=estimated,
        zncc_before=before,
        zncc_after=after,
        span_px=float(np.ptp(departure)),
        source_x_std_px=distortion.uncertainty_px,
    )


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
