"""A store comes in; its table of scores, one self-contained page and its figures go out.

What draws is imported when first used: tables need no matplotlib.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stemscale.reports.comparison import PICTURE_ENDINGS, write_comparison
    from stemscale.reports.correction_picture import check_plot, plot_corrections
    from stemscale.reports.events import FileWritten, PartDone
    from stemscale.reports.in_situ import (
        EndScore,
        SeriesRow,
        last_frame_table,
        series_table,
    )
    from stemscale.reports.learning_curve import CURVE_ENDINGS, plot_learning_curve
    from stemscale.reports.page import report
    from stemscale.reports.ranges import RangeRow, range_table
    from stemscale.reports.scores import ScoreRow, score_table
    from stemscale.reports.summary_scores import Statistic

__all__ = [
    "CURVE_ENDINGS",
    "PICTURE_ENDINGS",
    "EndScore",
    "FileWritten",
    "PartDone",
    "RangeRow",
    "ScoreRow",
    "SeriesRow",
    "Statistic",
    "check_plot",
    "last_frame_table",
    "plot_corrections",
    "plot_learning_curve",
    "range_table",
    "report",
    "score_table",
    "series_table",
    "write_comparison",
]

_MODULES = {
    "CURVE_ENDINGS": "learning_curve",
    "PICTURE_ENDINGS": "comparison",
    "EndScore": "in_situ",
    "FileWritten": "events",
    "PartDone": "events",
    "RangeRow": "ranges",
    "ScoreRow": "scores",
    "SeriesRow": "in_situ",
    "Statistic": "summary_scores",
    "check_plot": "correction_picture",
    "last_frame_table": "in_situ",
    "plot_corrections": "correction_picture",
    "plot_learning_curve": "learning_curve",
    "range_table": "ranges",
    "report": "page",
    "score_table": "scores",
    "series_table": "in_situ",
    "write_comparison": "comparison",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'stemscale.reports' has no attribute {name!r}")
    return getattr(import_module(f"stemscale.reports.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
