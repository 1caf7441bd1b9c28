"""Figures on their way to the page, and to a folder if one is wanted."""

from collections.abc import Iterable
from dataclasses import dataclass

from stemscale.reports.folder import FigureFolder
from stemscale.reports.plot import Plot

_REM_PER_INCH = 7.3  # type of 9 points is then as large as that of the page's captions


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """A figure as the page's template wants it."""

    name: str
    fov: str
    title: str
    caption: str
    paper: str
    source: str  # data URI
    width_rem: float


class Gallery:
    """Takes figures, writes them into the folder, and gives the page what it shows of them.

    Parameters
    ----------
    folder : FigureFolder or None
        None: the page alone.
    """

    def __init__(self, folder: FigureFolder | None) -> None:
        self._folder = folder

    def hang(self, plots: Iterable[Plot]) -> list[Drawn]:
        """Render figures, one after the other.

        Parameters
        ----------
        plots : iterable of Plot

        Returns
        -------
        list of Drawn
            Those that the page shows.
        """
        found = []
        for plot in plots:
            if self._folder is not None:
                self._folder.add(plot)
            if plot.on_page:
                found.append(_drawn(plot))
        return found


def _drawn(plot: Plot) -> Drawn:
    return Drawn(
        name=plot.name,
        fov=plot.fov,
        title=plot.title,
        caption=plot.caption,
        paper=plot.paper,
        source=plot.uri(),
        width_rem=round(plot.width_in * _REM_PER_INCH, 1),
    )
