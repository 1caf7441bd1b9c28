"""A store comes in; the table of its scores and one self-contained page about it go out."""

from stemscale.reports.comparison import write_comparison
from stemscale.reports.correction_plot import check_plot, plot_corrections
from stemscale.reports.page import write_report
from stemscale.reports.scores import ScoreRow, score_table, type_label

report = write_report  # the verb's name, as on the command line

__all__ = [
    "ScoreRow",
    "check_plot",
    "plot_corrections",
    "report",
    "score_table",
    "type_label",
    "write_comparison",
    "write_report",
]
