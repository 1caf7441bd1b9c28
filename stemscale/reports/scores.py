"""The table of row Q2: PSNR by type of image, held-out FOVs apart from trained ones."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr

from stemscale.quality import mean_and_std
from stemscale.reports.summary_scores import (
    FovScore,
    Statistic,
    summary_scores,
    trained_in_summary,
)
from stemscale.store import FlaggedFrames, natural_order
from stemscale.views.store_view import FovView, StoreView, longest_scored, read_store

RAPID, DCFI = "rapid", "dcfi"
HELD_OUT, TRAINED, ALL, AFTER = "held-out", "trained", "all", "slow scan after"
NO_REFERENCE = "no reference"
_GROUP_ORDER = (HELD_OUT, ALL, TRAINED, AFTER, NO_REFERENCE)


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
        (in-situ series, of which the slow scan shows only the end), or ``no reference`` (neither
        slow scan nor truth: scores that need none).
    n_fovs, n_frames : int
        What the score is over.
    psnr_mean_db, psnr_std_db : float
        PSNR against the slow scan [dB], mean and population standard deviation over frames; NaN
        without one.
    truth_mean_db, truth_std_db : float or None
        PSNR against the known truth [dB], background removed; None without a truth.
    smear : float or None
        Mean share of the signal that arrives more than 2 px late, against the truth, else against
        the slow scan; None without either.
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


def score_table(store: str | Path | StoreView) -> list[ScoreRow]:
    """Gather the PSNR table of a store.

    Parameters
    ----------
    store : str or Path
        Folder of the store.

    Returns
    -------
    list of ScoreRow
        Groups in the order held-out, all, trained, slow scan after, no reference; in a group
        rapid, DCFI, filters by name. Empty where nothing was scored.

    Raises
    ------
    StoreError
        If there is no stemscale store, or it holds no field of view.

    Notes
    -----
    Source: Ihara 2022, Fig. 4a (row Q2). A FOV counts as trained when ANY filter in the store
    was trained on it, and one of which nothing is filtered is left out where others of its group
    are, so that all types in a group are compared over the same FOVs. Numbers are
    those of the group ``summary`` where it has them, else of the per-frame variables; means over
    several FOVs weigh every frame alike.
    """
    view = store if isinstance(store, StoreView) else read_store(store)
    collected: dict[tuple[str, str], list[FovScore]] = {}
    flagged: dict[tuple[str, str], list[FlaggedFrames]] = {}
    any_trained = any(f.trained for f in view.fovs) or bool(trained_in_summary(view.summary))
    parts = []
    for fov in view.fovs:
        scores = list(_fov_scores(fov, view.summary))
        parts.append((fov, _group_of(fov, view.summary, scores, any_trained=any_trained), scores))
    compared = {group for _, group, scores in parts if _is_filtered(scores)}
    for fov, group, scores in parts:
        if group in compared and not _is_filtered(scores):
            continue
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


def type_label(type_: str) -> str:
    """Return the word that a table or figure shows for a type of image."""
    return "DCFI" if type_ == DCFI else type_


def _row_order(row: ScoreRow) -> tuple[int, bool, bool, list[tuple[int, int | str]]]:
    by_name = natural_order(row.type)  # dlf-500 before dlf-1000
    return _GROUP_ORDER.index(row.fov_group), row.type != RAPID, row.type != DCFI, by_name


def _group_of(
    fov: FovView, summary: xr.Dataset | None, scores: Sequence[FovScore], *, any_trained: bool
) -> str:
    if fov.slow_is_after:
        return AFTER
    if fov.trained or fov.name in trained_in_summary(summary):
        return TRAINED
    if not any(score.has_reference for score in scores):
        return NO_REFERENCE  # apart, so that the numbers of frames are those that PSNR is over
    return HELD_OUT if any_trained else ALL


def _is_filtered(scores: Sequence[FovScore]) -> bool:
    return any(score.type != RAPID for score in scores)


def _fov_scores(fov: FovView, summary: xr.Dataset | None) -> Iterator[FovScore]:
    summarized = {s.type: s for s in summary_scores(fov.name, summary) if s.is_known}
    # corrected frames alone are the rapid frames again
    same_as_rapid = {f.name for f in fov.filters if f.kind == "none"}
    measured = {s.type: s for s in _frame_scores(fov)}
    for type_, score in (measured | summarized).items():
        if type_ not in same_as_rapid and score.is_known:
            yield score


def _frame_scores(fov: FovView) -> Iterator[FovScore]:
    """Summarise the per-frame variables, where `summarize` did not do so yet."""
    source = longest_scored(fov.filters)
    columns = [] if source is None else [(RAPID, source.done_scores("psnr_rapid"))]
    columns += [(f.name, f.done_scores("psnr")) for f in fov.filters if "psnr" in f.scores]
    for type_, values in columns:
        summary = mean_and_std(values)
        yield FovScore(
            type=type_,
            n=summary.n,
            mean=summary.mean,
            std=summary.std,
            truth_mean=np.nan,
            truth_std=np.nan,
            smear=np.nan,
        )


def _pooled(
    type_: str, fov_group: str, scores: Sequence[FovScore], flagged: Sequence[FlaggedFrames]
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
