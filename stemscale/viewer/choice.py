"""What one tab is to show, as a value: each control gives another one."""

from dataclasses import dataclass, replace

from stemscale.viewer.greys import Window
from stemscale.viewer.profiles import Line
from stemscale.viewer.series import (
    CORRECTED,
    FILTERED,
    RECORDED,
    SLOW,
    Series,
    filtered_key,
)

PANELS = (RECORDED, CORRECTED, FILTERED, SLOW)


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What is chosen in a tab.

    Attributes
    ----------
    fov : str
        Field of view.
    frame : int
        Number in the series.
    filter : str or None
        Whose output the filtered panel shows.
    panels : tuple of str
        Roles of the panels that are open.
    window : Window or None
        Black and white; None: chosen from the series.
    swipe, spectra : tuple of str
        Keys of the two images there.
    tools : tuple of str
        Panes that are open: ``swipe``, ``profile``, ``fft``.
    line : Line or None
        Of the profiles.
    line_width_px : int
        Pixels averaged across it.
    """

    fov: str
    frame: int = 0
    filter: str | None = None
    panels: tuple[str, ...] = PANELS
    window: Window | None = None
    swipe: tuple[str, str] = (RECORDED, RECORDED)
    spectra: tuple[str, str] = (RECORDED, RECORDED)
    tools: tuple[str, ...] = ()
    line: Line | None = None
    line_width_px: int = 5

    def key(self, role: str) -> str:
        """Key of the image that a panel shows."""
        return filtered_key(self.filter) if role == FILTERED and self.filter else role

    def keys(self, series: Series) -> tuple[str, ...]:
        """Keys of the images in the open panels, of those that there are."""
        found = (self.key(role) for role in self.panels)
        return tuple(k for k in found if k in series.images)

    def at(self, frame: int, series: Series) -> "Choice":
        """Go to a frame, or to the nearest one there is."""
        return replace(self, frame=max(0, min(frame, series.n_frames - 1)))

    def needed(self, series: Series) -> tuple[str, ...]:
        """Keys of all images that this choice shows, each once."""
        keys = list(self.keys(series))
        if "swipe" in self.tools:
            keys += self.swipe
        if "fft" in self.tools:
            keys += self.spectra
        return tuple(k for k in dict.fromkeys(keys) if k in series.images)


def first_choice(series: Series, *, before: Choice | None = None) -> Choice:
    """Choose what a series shows at first, keeping what was chosen before where it can be.

    Parameters
    ----------
    series : Series
    before : Choice, optional
        Of the series shown until now.

    Returns
    -------
    Choice
    """
    choice = before or Choice(fov=series.fov.name)
    learned = [f.name for f in series.fov.filters if f.kind == "learned"]
    names = series.filters
    kept = choice.filter if choice.filter in names else None
    name = kept or next(iter(learned), next(iter(names), None))
    choice = replace(choice, fov=series.fov.name, filter=name, window=None).at(choice.frame, series)
    left = CORRECTED if CORRECTED in series.images else RECORDED
    right = choice.key(FILTERED) if name else (SLOW if SLOW in series.images else RECORDED)
    return replace(
        choice,
        swipe=_kept_pair(choice.swipe, (left, right), series, before),
        spectra=_kept_pair(choice.spectra, (left, right), series, before),
        line=None,
    )


def with_filter(choice: Choice, name: str | None) -> Choice:
    """Choose another filter; where a pane compares with the old one, it follows."""
    old, new = choice.key(FILTERED), filtered_key(name) if name else FILTERED

    def follow(pair: tuple[str, str]) -> tuple[str, str]:
        first, second = (new if k == old else k for k in pair)
        return first, second

    return replace(
        choice,
        filter=name,
        window=None,
        swipe=follow(choice.swipe),
        spectra=follow(choice.spectra),
    )


def reference_key(choice: Choice, series: Series) -> str:
    """Key of the image whose scale the others are brought to: the least noisy of each frame."""
    ranked = (choice.key(FILTERED), SLOW, CORRECTED, RECORDED)
    return next(k for k in ranked if k in series.images)


def middle_line(series: Series) -> Line:
    """Draw a line along the scan direction through the middle, before any is drawn."""
    grid = series.grid(CORRECTED if CORRECTED in series.images else RECORDED)
    y = grid.height / 2
    return Line(x0=0.2 * grid.width, y0=y, x1=0.8 * grid.width, y1=y)


def _kept_pair(
    pair: tuple[str, str], default: tuple[str, str], series: Series, before: Choice | None
) -> tuple[str, str]:
    return pair if before is not None and all(k in series.images for k in pair) else default
