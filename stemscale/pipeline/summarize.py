"""Scores of every FOV and filter, gathered into the group ``summary``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stemscale.acquisition import Image
from stemscale.distortion import Warp
from stemscale.errors import StoreError
from stemscale.pipeline.calibration import load_calibration
from stemscale.pipeline.events import FovDone, Listener, no_listener
from stemscale.pipeline.pixels import as_seen
from stemscale.quality import (
    lag_tail,
    mean_and_std,
    psnr_by_band,
    psnr_paper,
    psnr_without_background,
)
from stemscale.store import (
    SUMMARY,
    AcquisitionStore,
    FlaggedFrames,
    filtered_group,
    flagged_frames,
    rapid_group,
)

FloatImage = NDArray[np.float64]

RAPID = "rapid"
_SCORES = {
    "psnr": ("dB", "PSNR against the slow scan"),
    "psnr_band": ("dB", "PSNR against the slow scan, by band of its intensity"),
    "psnr_truth": ("dB", "PSNR against the noise-free truth, background removed"),
    "lag_tail": ("1", "smear: share of the response more than 2 px downstream"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """Scores of the frames of one FOV and filter.

    Attributes
    ----------
    psnr : list of float
        Of each frame, against the slow scan [dB].
    psnr_band : list of list
        The same by band of intensity.
    psnr_truth, lag_tail : list of float
        Against the truth, where there is one.
    flagged : FlaggedFrames or None
        Frames outside what the filter was trained on, where it tells.
    """

    psnr: Sequence[float] = ()
    psnr_band: Sequence[Sequence[float]] = ()
    psnr_truth: Sequence[float] = ()
    lag_tail: Sequence[float] = ()
    flagged: FlaggedFrames | None = None


def summarize(
    store: str | Path,
    *,
    truth: str | Path | None = None,
    listener: Listener = no_listener,
) -> xr.Dataset:
    """Gather the scores of all frames by FOV and filter, and write them to the store.

    Parameters
    ----------
    store : str or Path
        Folder of the store; its group ``summary`` is written anew.
    truth : str or Path, optional
        ``truth.zarr`` of a simulated acquisition: adds PSNR against the noise-free image with the
        background removed, and the smear that is left.
    listener : callable
        Told of each FOV.

    Returns
    -------
    Dataset
        ``psnr_mean``, ``psnr_std``, ``n_frames``, ``trained`` over (fov, filter) and so on; names
        in the attributes ``fov_names`` and ``filter_names``, "rapid" first (row Q2, Q3).
        ``n_out_of_range`` over (fov, filter), -1 where it is not known, and by respect over
        ``n_out_of_range_by_respect`` (fov, filter, respect): frames outside what the filter was
        trained on; there only where a filter tells.

    Raises
    ------
    StoreError
        If there is no store, nothing to score, or no truth at that path.
    """
    target = AcquisitionStore(store)
    fovs = target.fovs()
    names = _filter_names(target, fovs)
    table: dict[tuple[int, int], Scores] = {}
    trained = np.zeros((len(fovs), len(names)), dtype=np.int8)
    for i, fov in enumerate(fovs):
        scene = None if truth is None else _truth_image(Path(truth), fov)
        for j, name in enumerate(names):
            found = _scores(target, fov, name, scene)
            if found is not None:
                table[i, j] = found
            trained[i, j] = _was_trained(target, fov, name)
        listener(FovDone(fov=fov, step="summarize", done=i + 1, total=len(fovs)))
    summary = _dataset(fovs, names, table, trained)
    target.write_dataset(SUMMARY, summary, replace=True)
    target.add_history(f"summarize{'' if truth is None else ' with truth'}")
    target.consolidate()
    return summary


def _filter_names(store: AcquisitionStore, fovs: Sequence[str]) -> list[str]:
    found = {name for fov in fovs for name in store.filters(fov)}
    return [RAPID, *sorted(found, key=lambda n: (n != "dcfi", n))]


def _scores(
    store: AcquisitionStore, fov: str, name: str, scene: FloatImage | None
) -> Scores | None:
    if name != RAPID and name not in store.filters(fov):
        return None
    flagged = None
    if name == RAPID:
        psnr, bands = _rapid_scores(store, fov)
    else:
        psnr, bands = _stored_scores(store, filtered_group(fov, name), "psnr")
        with store.dataset(filtered_group(fov, name)) as dataset:
            flagged = flagged_frames(dataset)
    if scene is None:
        return Scores(psnr=psnr, psnr_band=bands, flagged=flagged)
    against = [_against_truth(f, scene) for f in _frames(store, fov, name, scene.shape)]
    return Scores(
        psnr=psnr,
        psnr_band=bands,
        psnr_truth=[a for a, _ in against],
        lag_tail=[b for _, b in against],
        flagged=flagged,
    )


def _stored_scores(
    store: AcquisitionStore, group: str, name: str
) -> tuple[list[float], list[list[float]]]:
    with store.dataset(group) as dataset:
        if name not in dataset:
            return [], []
        return dataset[name].values.tolist(), dataset[f"{name}_band"].values.tolist()


def _rapid_scores(store: AcquisitionStore, fov: str) -> tuple[list[float], list[list[float]]]:
    """From a filter that kept every frame, since it scored the input too; else worked out here."""
    n_frames = store.frames(rapid_group(fov)).shape[0]
    for name in store.filters(fov):
        group = filtered_group(fov, name)
        complete = store.attrs(group).get("state") == "complete"
        # With --distortion none the rapid frames were scored as they are, distorted.
        corrected = not str(store.attrs(group).get("distortion", "none")).startswith("none")
        if complete and corrected and store.frames(group).shape[0] == n_frames:
            return _stored_scores(store, group, "psnr_rapid")
    slow = store.slow_image(fov)
    if slow is None:
        return [], []
    frames = list(_frames(store, fov, RAPID, slow.shape))
    if not frames:
        return [], []
    return [psnr_paper(f, slow) for f in frames], [list(psnr_by_band(f, slow)) for f in frames]


def _frames(store: AcquisitionStore, fov: str, name: str, shape: tuple[int, ...]) -> Any:
    """Frames of a FOV on the corrected grid, one by one; NaN where nothing was seen."""
    group = rapid_group(fov) if name == RAPID else filtered_group(fov, name)
    array = store.frames(group)
    calibration = load_calibration(store, fov) if name == RAPID else None
    warp = None if calibration is None else Warp(calibration.distortion)
    for index in range(array.n_blocks):
        block = array.read(*array.bounds(index))
        if name != RAPID:
            frames = as_seen(block)
        else:
            frames = block.astype(np.float32) if warp is None else warp(block)
        if frames.shape[1:] == shape:
            yield from frames


def _against_truth(frame: Image, scene: FloatImage) -> tuple[float, float]:
    if not np.isfinite(frame).any():
        return np.nan, np.nan
    return psnr_without_background(frame, scene), lag_tail(frame, scene).weight


def _truth_image(truth: Path, fov: str) -> FloatImage | None:
    try:
        with xr.open_zarr(truth, group=fov, chunks=None) as dataset:
            return np.asarray(dataset["image"].values, dtype=np.float64)
    except (FileNotFoundError, KeyError, ValueError) as error:
        raise StoreError(
            f"{truth} has no truth of {fov}: give the truth.zarr of the simulation that the "
            f"frames are from"
        ) from error


def _was_trained(store: AcquisitionStore, fov: str, name: str) -> bool:
    if name == RAPID or name not in store.filters(fov):
        return False
    return bool(store.attrs(filtered_group(fov, name)).get("trained_on", False))


def _dataset(
    fovs: list[str],
    names: list[str],
    table: dict[tuple[int, int], Scores],
    trained: NDArray[np.int8],
) -> xr.Dataset:
    shape = (len(fovs), len(names))
    variables: dict[str, Any] = {
        "n_frames": (("fov", "filter"), np.zeros(shape, dtype=np.int64), {}),
        "trained": (("fov", "filter"), trained, {"long_name": "filter has seen the FOV"}),
    }
    for score, (units, long_name) in _SCORES.items():
        if not any(len(getattr(s, score)) for s in table.values()):
            continue
        more = (3,) if score == "psnr_band" else ()
        dims = ("fov", "filter", "band")[: 2 + len(more)]
        for statistic in ("mean", "std"):
            attrs = {"units": units, "long_name": f"{statistic} over frames: {long_name}"}
            values = np.full(shape + more, np.nan)
            variables[f"{score}_{statistic}"] = (dims, values, attrs)
    for place, scores in table.items():
        variables["n_frames"][1][place] = max(len(scores.psnr), len(scores.psnr_truth))
        for score in _SCORES:
            values = np.array(getattr(scores, score), dtype=np.float64)
            if not len(values):
                continue
            mean, std = _statistics(values)
            variables[f"{score}_mean"][1][place] = mean
            variables[f"{score}_std"][1][place] = std
    variables |= _flagged({p: s.flagged for p, s in table.items() if s.flagged}, shape)
    about = {"fov_names": fovs, "filter_names": names, "band_edges": [0, 20000, 40000, 65535]}
    return xr.Dataset(variables, attrs=about)


def _flagged(
    found: Mapping[tuple[int, int], FlaggedFrames], shape: tuple[int, int]
) -> dict[str, Any]:
    """Count frames out of range; -1 where it is not known."""
    if not found:
        return {}
    respects = list(dict.fromkeys(name for f in found.values() for name in f.by_respect))
    total = np.full(shape, -1, dtype=np.int64)
    by_respect = np.full((*shape, len(respects)), -1, dtype=np.int64)
    for place, flagged in found.items():
        total[place] = len(flagged.frames)
        by_respect[place] = [flagged.by_respect.get(name, 0) for name in respects]
    long_name = "frames outside what the filter was trained on"
    return {
        "n_out_of_range": (("fov", "filter"), total, {"long_name": long_name}),
        "n_out_of_range_by_respect": (
            ("fov", "filter", "respect"),
            by_respect,
            {"long_name": f"{long_name}, by respect", "respects": respects},
        ),
    }


def _statistics(values: NDArray[np.float64]) -> tuple[Any, Any]:
    if values.ndim == 1:
        found = mean_and_std(values)
        return found.mean, found.std
    columns = [mean_and_std(c) for c in values.T]
    return [c.mean for c in columns], [c.std for c in columns]
