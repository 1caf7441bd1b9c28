"""A store comes in; its table of scores, one self-contained page and its figures go out.

What draws is imported when first used: the viewer needs only what reads and scales.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stemscale.reports.comparison import PICTURE_ENDINGS, write_comparison
    from stemscale.reports.correction_plot import check_plot, plot_corrections
    from stemscale.reports.events import FileWritten, PartDone
    from stemscale.reports.in_situ import (
        EndScore,
        SeriesRow,
        last_frame_table,
        series_table,
    )
    from stemscale.reports.learning_curve import CURVE_ENDINGS, plot_learning_curve
    from stemscale.reports.output import checked_output
    from stemscale.reports.page import write_report
    from stemscale.reports.page import write_report as report
    from stemscale.reports.plot import Plot
    from stemscale.reports.scores import (
        RangeRow,
        ScoreRow,
        Statistic,
        range_table,
        score_table,
        type_label,
    )

__all__ = [
    "CURVE_ENDINGS",
    "PICTURE_ENDINGS",
    "EndScore",
    "FileWritten",
    "PartDone",
    "Plot",
    "RangeRow",
    "ScoreRow",
    "SeriesRow",
    "Statistic",
    "check_plot",
    "checked_output",
    "last_frame_table",
    "plot_corrections",
    "plot_learning_curve",
    "range_table",
    "report",
    "score_table",
    "series_table",
    "type_label",
    "write_comparison",
    "write_report",
]

_MODULES = {
    "CURVE_ENDINGS": "learning_curve",
    "PICTURE_ENDINGS": "comparison",
    "EndScore": "in_situ",
    "FileWritten": "events",
    "PartDone": "events",
    "Plot": "plot",
    "RangeRow": "scores",
    "ScoreRow": "scores",
    "SeriesRow": "in_situ",
    "Statistic": "scores",
    "check_plot": "correction_plot",
    "checked_output": "output",
    "last_frame_table": "in_situ",
    "plot_corrections": "correction_plot",
    "plot_learning_curve": "learning_curve",
    "range_table": "scores",
    "score_table": "scores",
    "series_table": "in_situ",
    "type_label": "scores",
    "write_comparison": "comparison",
    "write_report": "page",
}


def __getattr__(name: str) -> Any:
    if name == "report":  # the verb's name, as on the command line
        name = "write_report"
    if name not in _MODULES:
        raise AttributeError(f"module 'stemscale.reports' has no attribute {name!r}")
    return getattr(import_module(f"stemscale.reports.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
