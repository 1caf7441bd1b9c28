"""A store comes in; its table of scores, one self-contained page and its figures go out."""

from stemscale.reports.comparison import write_comparison
from stemscale.reports.correction_plot import check_plot, plot_corrections
from stemscale.reports.events import FileWritten, PartDone
from stemscale.reports.learning_curve import CURVE_ENDINGS, plot_learning_curve
from stemscale.reports.output import checked_output
from stemscale.reports.page import write_report
from stemscale.reports.plot import Plot
from stemscale.reports.scores import (
    RangeRow,
    ScoreRow,
    Statistic,
    range_table,
    score_table,
    type_label,
)
from stemscale.reports.series_table import (
    LastFrameRow,
    SeriesRow,
    last_frame_table,
    series_table,
)

report = write_report  # the verb's name, as on the command line

__all__ = [
    "CURVE_ENDINGS",
    "FileWritten",
    "LastFrameRow",
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
