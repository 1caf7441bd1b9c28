from types import SimpleNamespace

import pytest
from bokeh.plotting import figure

from stemscale.viewer.look import inner_width


@pytest.mark.parametrize("plot", [figure(), SimpleNamespace(inner_width=0)], ids=["new", "hidden"])
def test_a_plot_that_is_not_laid_out_counts_as_one_of_usual_width(plot):
    """The browser says 0 of one that is hidden: a picture would be a single pixel."""
    assert inner_width(plot) > 100


def test_a_plot_on_the_page_is_as_wide_as_the_browser_says():
    assert inner_width(SimpleNamespace(inner_width=462)) == 462
