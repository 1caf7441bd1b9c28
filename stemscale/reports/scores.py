"""The table of row Q2: PSNR by type of image, held-out FOVs apart from trained ones."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import xarray as xr

from stemscale.quality import mean_and_std
from stemscale.reports.store_view import (
    DONE,
    UNREADABLE,
    FilterView,
    FloatArray,
    FovView,
    StoreView,
    read_store,
)
from stemscale.store import FlaggedFrames, natural_order

RAPID, DCFI = "rapid", "dcfi"
HELD_OUT, TRAINED, ALL, AFTER = "held-out", "trained", "all", "slow scan after"
NO_SLOW = "no slow scan"
_MEAN = "_mean"
_OVER = re.compile(r"^mean over (frames|stretches): ")
_GROUP_ORDER = (HELD_OUT, ALL, TRAINED, AFTER, NO_SLOW)


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
class ScoreRow:
    """One line of the table: a type of image over one group of FOVs.

    Attributes
    ----------
    type : str
        ``rapid`` (distortion-corrected where there is a calibration), ``dcfi``, or the name of
        a filter's output.
    fov_group : str
        ``held-out`` (no filter was trained on these FOVs), ``trained`` (some filter was),
        ``all`` (no filter here was trained on any FOV of the store), ``slow scan after``
        (in-situ series, of which the slow scan shows only the end), or ``no slow scan`` (neither
        that nor a truth: there are the scores alone that need none).
    n_fovs, n_frames : int
        What the score is over.
    psnr_mean_db, psnr_std_db : float
        PSNR against the slow scan [dB], mean and population standard deviation over frames.
    truth_mean_db, truth_std_db : float or None
        PSNR against the known truth [dB], background removed; None without a truth.
    smear : float or None
        Mean weight of the lag tail against the truth; None without one.
    n_out_of_range : int or None
        Frames outside what the filter was trained on; None where no filter file tells.
    out_of_range : dict of str to int, or None
        The same in each respect; a frame may count in several.
    statistics : tuple of Statistic
        All scores that the store's summary has, in its order, those above among them.
    """

    type: str
    fov_group: str
    n_fovs: int
    n_frames: int
    psnr_mean_db: float
    psnr_std_db: float
    truth_mean_db: float | None = None
    truth_std_db: float | None = None
    smear: float | None = None
    n_out_of_range: int | None = None
    out_of_range: dict[str, int] | None = None
    statistics: tuple[Statistic, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class RangeRow:
    """How many frames of one FOV lie outside what one filter was trained on.

    Attributes
    ----------
    fov, filter : str
    n_frames : int
        Frames that were held against it.
    n_out_of_range : int
        Frames outside, in any respect.
    out_of_range : dict of str to int
        In each respect; a frame may count in several.
    words : str
        The same in words, with the frames; empty where there are none.
    """

    fov: str
    filter: str
    n_frames: int
    n_out_of_range: int
    out_of_range: dict[str, int]
    words: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _FovScore:
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
        return not np.isnan([self.mean, self.truth_mean]).all()

    @property
    def is_known(self) -> bool:
        means = [self.mean, self.truth_mean, *(s.mean for s in self.statistics)]
        return self.n > 0 and not np.isnan(means).all()


def score_table(store: str | Path | StoreView) -> list[ScoreRow]:
    """Gather the PSNR table of a store.

    Parameters
    ----------
    store : str or Path
        Folder of the store.

    Returns
    -------
    list of ScoreRow
        Groups in the order held-out, all, trained, slow scan after, none; in a group rapid, DCFI,
        filters by name. Of FOVs without a slow scan, with the scores that need none. Empty where
        nothing is scored.

    Raises
    ------
    StoreError
        If there is no stemscale store, or it holds no field of view.

    Notes
    -----
    Source: Ihara 2022, Fig. 4a (row Q2). A FOV counts as trained when ANY filter in the store
    was trained on it, so that all types in a group are compared over the same FOVs. Numbers are
    those of the group ``summary`` where it has them, else of the per-frame variables; means over
    several FOVs weigh every frame alike.
    """
    view = store if isinstance(store, StoreView) else read_store(store)
    collected: dict[tuple[str, str], list[_FovScore]] = {}
    flagged: dict[tuple[str, str], list[FlaggedFrames]] = {}
    any_trained = any(f.trained for f in view.fovs) or bool(_trained_in_summary(view.summary))
    for fov in view.fovs:
        scores = list(_fov_scores(fov, view.summary))
        group = _group_of(fov, view.summary, any_trained=any_trained)
        if group in (HELD_OUT, ALL) and not any(s.has_reference for s in scores):
            group = NO_SLOW
        for score in scores:
            collected.setdefault((group, score.type), []).append(score)
        for filtered in fov.filters:
            if filtered.flagged is not None:
                flagged.setdefault((group, filtered.name), []).append(filtered.flagged)
    rows = [
        _pooled(type_, group, scores, flagged.get((group, type_), []))
        for (group, type_), scores in collected.items()
    ]
    return sorted(rows, key=_row_order)


def range_table(store: str | Path | StoreView) -> list[RangeRow]:
    """Count the frames that lie outside what their filter was trained on.

    Parameters
    ----------
    store : str or Path
        Folder of the store.

    Returns
    -------
    list of RangeRow
        Of each FOV and filter file whose card tells; FOVs without a slow scan as well.

    Raises
    ------
    StoreError
        If there is no stemscale store, or it holds no field of view.
    """
    view = store if isinstance(store, StoreView) else read_store(store)
    return [
        RangeRow(
            fov=fov.name,
            filter=filtered.name,
            n_frames=filtered.flagged.of,
            n_out_of_range=len(filtered.flagged.frames),
            out_of_range=filtered.flagged.by_respect,
            words=filtered.flagged.words() if filtered.flagged.frames else "",
        )
        for fov in view.fovs
        for filtered in fov.filters
        if filtered.flagged is not None
    ]


def type_label(type_: str) -> str:
    """Return the word that a table or figure shows for a type of image."""
    return "DCFI" if type_ == DCFI else type_


def _row_order(row: ScoreRow) -> tuple[int, bool, bool, list[tuple[int, int | str]]]:
    by_name = natural_order(row.type)  # dlf-500 before dlf-1000
    return _GROUP_ORDER.index(row.fov_group), row.type != RAPID, row.type != DCFI, by_name


def _group_of(fov: FovView, summary: xr.Dataset | None, *, any_trained: bool) -> str:
    if fov.slow_is_after:
        return AFTER
    if fov.trained or fov.name in _trained_in_summary(summary):
        return TRAINED
    return HELD_OUT if any_trained else ALL


def _fov_scores(fov: FovView, summary: xr.Dataset | None) -> Iterator[_FovScore]:
    summarized = {s.type: s for s in _summary_scores(fov.name, summary) if s.is_known}
    # corrected frames alone are the rapid frames again
    same_as_rapid = {f.name for f in fov.filters if f.kind == "none"}
    measured = {s.type: s for s in _frame_scores(fov)}
    for type_, score in (measured | summarized).items():
        if type_ not in same_as_rapid and score.is_known:
            yield score


def _frame_scores(fov: FovView) -> Iterator[_FovScore]:
    """Summarise the per-frame variables, where `summarize` did not do so yet."""
    rapid = rapid_scores(fov.filters)
    columns = [(RAPID, rapid)] if rapid is not None else []
    columns += [(f.name, _done_scores(f, "psnr")) for f in fov.filters if "psnr" in f.scores]
    for type_, values in columns:
        summary = mean_and_std(values)
        yield _FovScore(
            type=type_,
            n=summary.n,
            mean=summary.mean,
            std=summary.std,
            truth_mean=np.nan,
            truth_std=np.nan,
            smear=np.nan,
        )


def rapid_scores(filters: Sequence[FilterView]) -> FloatArray | None:
    """Return the PSNR of the rapid frames [dB] as the longest filter output of a FOV has it."""
    scored = [f for f in filters if "psnr_rapid" in f.scores]
    if not scored:
        return None
    return _done_scores(max(scored, key=lambda f: f.shape[0]), "psnr_rapid")


def _done_scores(filtered: FilterView, score: str) -> FloatArray:
    done: FloatArray = filtered.scores[score][filtered.status == DONE]
    return done


def _summary_scores(fov: str, summary: xr.Dataset | None) -> Iterator[_FovScore]:
    if summary is None:
        return
    fovs, filters = _labels(summary)
    if fov not in fovs:
        return
    i = fovs.index(fov)
    for j, name in enumerate(filters):
        n = _cell(summary, "n_frames", i, j)
        yield _FovScore(
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


def _trained_in_summary(summary: xr.Dataset | None) -> set[str]:
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


def _pooled(
    type_: str, fov_group: str, scores: Sequence[_FovScore], flagged: Sequence[FlaggedFrames]
) -> ScoreRow:
    mean, std = _pool([(s.n, s.mean, s.std) for s in scores])
    truth_mean, truth_std = _pool([(s.n, s.truth_mean, s.truth_std) for s in scores])
    smear, _ = _pool([(s.n, s.smear, 0.0) for s in scores])
    statistics: dict[tuple[str, str], list[tuple[int, Statistic]]] = {}
    for score in scores:
        for found in score.statistics:
            statistics.setdefault(found.key, []).append((score.n, found))
    by_respect: Counter[str] = Counter()
    for outside in flagged:
        by_respect.update(outside.by_respect)
    return ScoreRow(
        type=type_,
        fov_group=fov_group,
        n_fovs=len(scores),
        n_frames=sum(s.n for s in scores),
        psnr_mean_db=mean,
        psnr_std_db=std,
        truth_mean_db=None if np.isnan(truth_mean) else truth_mean,
        truth_std_db=None if np.isnan(truth_std) else truth_std,
        smear=None if np.isnan(smear) else smear,
        n_out_of_range=sum(len(f.frames) for f in flagged) if flagged else None,
        out_of_range=dict(by_respect) if flagged else None,
        statistics=tuple(_pooled_statistic(parts) for parts in statistics.values()),
    )


def _pooled_statistic(parts: Sequence[tuple[int, Statistic]]) -> Statistic:
    mean, std = _pool([(n, s.mean, s.std) for n, s in parts])
    return replace(parts[0][1], mean=mean, std=std)


def _pool(parts: Sequence[tuple[int, float, float]]) -> tuple[float, float]:
    """Mean and standard deviation over all frames from those of each FOV."""
    known = np.array([p for p in parts if np.isfinite(p[1])], dtype=np.float64).reshape(-1, 3)
    if known.size == 0:
        infinite = [mean for _, mean, _ in parts if np.isinf(mean)]
        return (infinite[0], np.nan) if infinite else (np.nan, np.nan)
    n, mean, std = known.T
    overall = float(np.sum(n * mean) / np.sum(n))
    # law of total variance
    variance = float(np.sum(n * (std**2 + (mean - overall) ** 2)) / np.sum(n))
    return overall, float(np.sqrt(variance))
