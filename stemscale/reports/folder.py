"""Figures go into a folder: each as PNG, SVG and CSV, with an index that names them."""

import csv
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Self

from stemscale.errors import SettingsError
from stemscale.reports.events import FileWritten, Listener
from stemscale.reports.plot import Plot, cell
from stemscale.reports.style import figure_style, save_figure
from stemscale.store import store_path
from stemscale.views.output import write_at_once

DPI = 200
_INDEX_COLUMNS = ("file", "field_of_view", "title", "figure_of_the_paper", "caption", "columns")
_README = """Figures of {name}, made by stemscale report.

Each figure is there as NAME.png ({dpi} dots per inch), NAME.svg, and NAME.csv: the numbers behind
it, one column for each quantity, units in the names, empty where not known. index.csv says the
same as this list, as a table.

The paper: Ihara et al., Scientific Reports (2022), doi:10.1038/s41598-022-17360-3.

"""


class FigureFolder:
    """A folder that takes figures one by one; `close` writes its index.

    Parameters
    ----------
    folder : Path
        Made where it is missing. Files of the same names are replaced.
    store : str or Path
        The store that the figures are of, in which they cannot lie.
    listener : callable
        Told of each file.

    Raises
    ------
    SettingsError
        If the folder is a file, lies in the store, or cannot be made.
    """

    def __init__(self, folder: Path, store: str | Path, listener: Listener) -> None:
        self._folder = checked_folder(folder, store)
        folder.mkdir(exist_ok=True)
        self._name = store_path(store).name
        self._listener = listener
        self._lines: list[tuple[str, ...]] = []

    def add(self, plot: Plot) -> Self:
        """Write one figure and its numbers.

        Parameters
        ----------
        plot : Plot

        Returns
        -------
        FigureFolder
            Itself.
        """
        _settle(plot)
        stem = self._free_stem(plot.stem)
        for ending in ("png", "svg"):
            self._write(f"{stem}.{ending}", partial(_save, plot, ending))
        self._write(f"{stem}.csv", lambda at: at.write_text(plot.csv(), encoding="utf-8"))
        columns = " ".join(plot.numbers)
        self._lines.append((stem, plot.fov, plot.title, plot.paper, plot.caption, columns))
        return self

    def close(self) -> None:
        """Write ``index.csv`` and ``README.txt``."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_INDEX_COLUMNS)
        writer.writerows([cell(text) for text in line] for line in self._lines)
        self._write("index.csv", lambda at: at.write_text(stream.getvalue(), encoding="utf-8"))
        text = _README.format(name=cell(self._name), dpi=DPI)
        text += "\n".join(_in_words(*line[:5]) for line in self._lines)
        self._write("README.txt", lambda at: at.write_text(text, encoding="utf-8"))

    def _write(self, name: str, write: Callable[[Path], object]) -> None:
        target = self._folder / name
        write_at_once(target, write)
        self._listener(FileWritten(path=target))

    def _free_stem(self, stem: str) -> str:
        """Put a number to one that odd names of FOVs would make like another."""
        taken = {line[0].casefold() for line in self._lines}
        tries = [stem, *(f"{stem}-{n}" for n in range(2, len(taken) + 3))]
        return next(t for t in tries if t.casefold() not in taken)


def checked_folder(folder: Path, store: str | Path) -> Path:
    """Refuse a folder that cannot take figures, before anything is read.

    Parameters
    ----------
    folder : Path
        Made where it is missing; its parent must be there.
    store : str or Path
        In which it cannot lie.

    Returns
    -------
    Path
        As given.

    Raises
    ------
    SettingsError
        If it is a file, lies in the store, or its parent does not exist.
    """
    if folder.exists() and not folder.is_dir():
        raise SettingsError(f"figures {folder} is a file: name a folder")
    at = store_path(store)
    if isinstance(at, Path) and at.resolve() in (folder.resolve(), *folder.resolve().parents):
        raise SettingsError(f"figures {folder} lies in the store: put it beside it")
    if not folder.parent.is_dir():
        raise SettingsError(f"figures {folder}: there is no folder {folder.parent}; make it first")
    return folder


def _settle(plot: Plot) -> None:
    """Lay a figure out once: else each of its files would do so anew, at half of the time."""
    with figure_style():
        plot.figure.draw_without_rendering()
    plot.figure.set_layout_engine("none")


def _save(plot: Plot, ending: str, at: Path) -> None:
    with figure_style():
        save_figure(plot.figure, at, ending, dpi=DPI)


def _in_words(stem: str, fov: str, title: str, paper: str, caption: str) -> str:
    of = f" of {cell(fov)}" if fov and fov not in title else ""
    like = f" As {paper} of the paper." if paper else ""
    return f"{stem}\n    {cell(title)}{of}.{like} {cell(caption)}\n"
