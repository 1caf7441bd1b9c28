"""The scores that `summarize` left in a store, FOV by FOV and type by type."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import xarray as xr

from stemscale.views.store_view import UNREADABLE

_MEAN = "_mean"
_OVER = re.compile(r"^mean over (frames|stretches): ")


@dataclass(frozen=True, kw_only=True, slots=True)
class Statistic:
    """A score of the store's summary, over the frames of one type of image.

    Attributes
    ----------
    score : str
        Its name in the summary, without ``_mean``: ``psnr``, ``psnr_band``, ``streak``.
    band : str
        Band of intensity that it is over, in counts; empty for all.
    units : str
        ``dB``, ``1/um``; empty without one.
    long_name : str
        What it measures.
    mean, std : float
        Over frames, in ``units``; NaN where not known.
    """

    score: str
    band: str = ""
    units: str
    long_name: str
    mean: float
    std: float

    @property
    def key(self) -> tuple[str, str]:
        """What makes it comparable with that of another type of image."""
        return self.score, self.band


@dataclass(frozen=True, kw_only=True, slots=True)
class FovScore:
    """Scores of one type of image on one FOV; NaN where not scored."""

    type: str
    n: int
    mean: float
    std: float
    truth_mean: float
    truth_std: float
    smear: float
    statistics: tuple[Statistic, ...] = ()

    @property
    def has_reference(self) -> bool:
        """Whether it was held against a slow scan, or the truth."""
        return not np.isnan([self.mean, self.truth_mean]).all()

    @property
    def is_known(self) -> bool:
        """Whether there is any score."""
        # without a slow scan there is no PSNR, and others as uPSNR there are
        found = self.has_reference or not np.isnan([s.mean for s in self.statistics]).all()
        return self.n > 0 and found


def summary_scores(fov: str, summary: xr.Dataset | None) -> Iterator[FovScore]:
    """Read what `summarize` found of one FOV, type by type.

    Parameters
    ----------
    fov : str
    summary : Dataset or None
        The group ``summary`` of the store.

    Yields
    ------
    FovScore
        Of every type that the summary names, known or not.
    """
    if summary is None:
        return
    fovs, filters = _labels(summary)
    if fov not in fovs:
        return
    i = fovs.index(fov)
    for j, name in enumerate(filters):
        n = _cell(summary, "n_frames", i, j)
        yield FovScore(
            type=name,
            n=0 if np.isnan(n) else int(n),
            mean=_cell(summary, "psnr_mean", i, j),
            std=_cell(summary, "psnr_std", i, j),
            truth_mean=_cell(summary, "psnr_truth_mean", i, j),
            truth_std=_cell(summary, "psnr_truth_std", i, j),
            smear=_first(summary, ("lag_tail_truth_mean", "lag_tail_mean"), i, j),
            statistics=tuple(_statistics(summary, i, j)),
        )


def _statistics(summary: xr.Dataset, i: int, j: int) -> Iterator[Statistic]:
    """Read all scores of one FOV and type, whatever they are called."""
    for name in sorted(str(n) for n in summary.data_vars if str(n).endswith(_MEAN)):
        score, values = name.removesuffix(_MEAN), summary[name]
        if values.dims[:2] != ("fov", "filter") or values.ndim > 3:
            continue
        try:
            means = np.atleast_1d(values.values[i, j]).astype(np.float64)
            stds = np.full(means.shape, np.nan)
            if f"{score}_std" in summary:
                stds[:] = summary[f"{score}_std"].values[i, j]
        except UNREADABLE:
            continue
        about = _OVER.sub("", str(values.attrs.get("long_name", "")))
        for band, mean, std in zip(_bands(summary, values), means, stds, strict=True):
            yield Statistic(
                score=score,
                band=band,
                units=_unit(values),
                long_name=about,
                mean=float(mean),
                std=float(std),
            )


def _unit(values: xr.DataArray) -> str:
    unit = str(values.attrs.get("units", ""))
    return "" if unit == "1" else unit


def _bands(summary: xr.Dataset, values: xr.DataArray) -> list[str]:
    """Name the places along the third dimension, if there is one, by the edges of the bands."""
    if values.ndim == 2:
        return [""]
    edges = summary.attrs.get("band_edges")
    size = int(values.shape[2])
    if values.dims[2] == "band" and isinstance(edges, list) and len(edges) == size + 1:
        return [f"{a:,.0f}–{b:,.0f}" for a, b in pairwise(edges)]
    return [str(k + 1) for k in range(size)]


def trained_in_summary(summary: xr.Dataset | None) -> set[str]:
    """Name the FOVs of which the summary says that some filter was trained on them."""
    if summary is None or "trained" not in summary:
        return set()
    fovs, filters = _labels(summary)
    return {
        fov
        for i, fov in enumerate(fovs)
        if any(_cell(summary, "trained", i, j) == 1 for j in range(len(filters)))
    }


def _labels(summary: xr.Dataset) -> tuple[list[str], list[str]]:
    found = [summary.attrs.get(name) for name in ("fov_names", "filter_names")]
    fovs, filters = ([str(n) for n in f] if isinstance(f, list) else [] for f in found)
    return fovs, filters


def _first(summary: xr.Dataset, names: Sequence[str], i: int, j: int) -> float:
    found = [_cell(summary, name, i, j) for name in names]
    return next((value for value in found if not np.isnan(value)), float("nan"))


def _cell(summary: xr.Dataset, name: str, i: int, j: int) -> float:
    try:
        return float(summary[name].values[i, j])
    except UNREADABLE:  # a summary of an older state, or without a truth
        return float("nan")
