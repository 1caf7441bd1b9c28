"""Many scores in, one line of a table out."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreSummary:
    """Mean and scatter of a set of scores."""

    mean: float  # in the unit of the scores; NaN without any
    std: float  # population standard deviation, same unit
    n: int  # scores that went in


def mean_and_std(values: Iterable[float]) -> ScoreSummary:
    """Summarise scores as the paper's table does.

    Parameters
    ----------
    values : iterable of float
        Scores of single frames, e.g. PSNR [dB]; NaN (not scored) is left out.

    Returns
    -------
    ScoreSummary
        With the population standard deviation (divided by n, not n - 1): it says how the
        measured frames scatter. An infinite score gives an infinite mean and NaN as scatter.

    Notes
    -----
    Source: Ihara 2022, Fig. 4a (row Q2).

    Examples
    --------
    >>> from stemscale.quality import mean_and_std
    >>> summary = mean_and_std([20.0, 22.0, 24.0, float("nan")])  # the last frame was not scored
    >>> summary.mean, round(summary.std, 3), summary.n
    (22.0, 1.633, 3)
    """
    scores = np.fromiter((float(value) for value in values), dtype=np.float64)
    scores = scores[~np.isnan(scores)]
    if scores.size == 0:
        return ScoreSummary(mean=float("nan"), std=float("nan"), n=0)
    if not np.isfinite(scores).all():
        return ScoreSummary(mean=float(scores.sum()), std=float("nan"), n=int(scores.size))
    return ScoreSummary(mean=float(scores.mean()), std=float(scores.std()), n=int(scores.size))
