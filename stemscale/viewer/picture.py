"""From a choice to all that a tab draws: pixels, words, profiles, spectra. Knows no browser."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stemscale.viewer.choice import Choice, reference_key
from stemscale.viewer.greys import Greys, Scale, Window, auto_window, match, to_greys
from stemscale.viewer.library import Opened
from stemscale.viewer.power_spectra import common_window, picture, spectrum
from stemscale.viewer.profiles import profile
from stemscale.viewer.reading import NotShownError
from stemscale.viewer.series import Grid
from stemscale.viewer.words import title

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Drawn:
    """One image, ready to be drawn; without pixels, a word why."""

    key: str
    title: str
    grid: Grid
    pixels: Greys | None = None
    word: str = ""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DrawnSpectrum:
    """One power spectrum; without pixels, a word why."""

    key: str
    pixels: Greys | None
    bounds: tuple[float, float, float, float]  # left, top, width, height [1/µm or 1/px]
    word: str = ""


class Scales:
    """Gains, offsets and grey windows of a tab: found once for each series, then kept."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], Scale] = {}
        self._windows: dict[tuple[str, str], Window] = {}
        self._lock = threading.Lock()
        self.version = 0
        """Another one after each new scale or window: what was drawn before is out of date."""

    def scale(self, opened: Opened, choice: Choice, key: str) -> Scale:
        """Find the scale that brings an image onto that of the series' reference."""
        reference = reference_key(choice, opened.series)
        if key == reference:
            return Scale()
        place = (choice.fov, reference, key)
        with self._lock:
            found = self._found.get(place)
        if found is None:
            read = opened.reader.image
            try:
                pair = [read(opened.series, k, choice.frame) for k in (key, reference)]
            except NotShownError:
                return Scale()  # for now
            found = match(*pair)
            with self._lock:
                self._found[place] = found
                self.version += 1
        return found

    def window(self, opened: Opened, choice: Choice) -> Window:
        """Give black and white: as chosen, else as found for the series, else from this frame."""
        if choice.window is not None:
            return choice.window
        reference = reference_key(choice, opened.series)
        place = (choice.fov, reference)
        with self._lock:
            found = self._windows.get(place)
        if found is None:
            found = self._from_frame(opened, choice, reference)
            if found is None:
                return Window(black=0.0, white=1.0)
            with self._lock:
                self._windows[place] = found
                self.version += 1
        return found

    def forget_window(self, choice: Choice, opened: Opened) -> None:
        """Have black and white chosen again, from the frame that is shown next."""
        with self._lock:
            self._windows.pop((choice.fov, reference_key(choice, opened.series)), None)

    def _from_frame(self, opened: Opened, choice: Choice, reference: str) -> Window | None:
        for key in (reference, *choice.keys(opened.series)):
            try:
                image = opened.reader.image(opened.series, key, choice.frame)
            except NotShownError:
                continue
            return auto_window(image, self.scale(opened, choice, key))
        return None


def draw(opened: Opened, choice: Choice, key: str, scales: Scales, *, per_unit: float) -> Drawn:
    """Draw one image.

    Parameters
    ----------
    opened : Opened
    choice : Choice
    key : str
        Of one of the images of the series.
    scales : Scales
        Of the tab.
    per_unit : float
        Pixels of the screen for a unit of the axes.

    Returns
    -------
    Drawn
        With a word in place of pixels where the image is not there, or damaged.
    """
    series = opened.series
    about = {"key": key, "title": title(series, key, choice.frame), "grid": series.grid(key)}
    try:
        image = opened.reader.image(series, key, choice.frame)
    except NotShownError as error:
        return Drawn(**about, word=str(error))  # type: ignore[arg-type]
    scale, window = scales.scale(opened, choice, key), scales.window(opened, choice)
    zoom = per_unit * series.grid(key).pixel
    return Drawn(**about, pixels=to_greys(image, window, scale, zoom=zoom))  # type: ignore[arg-type]


def draw_profiles(
    opened: Opened, choice: Choice, scales: Scales
) -> Mapping[str, tuple[FloatArray, FloatArray]]:
    """Read all shown images along the line, on the common scale.

    Parameters
    ----------
    opened, choice, scales
        As for `draw`.

    Returns
    -------
    mapping of str to (distance, intensity)
        By key; those that cannot be shown are left out.
    """
    found = {}
    line = choice.line
    keys = choice.keys(opened.series) if line is not None else ()
    for key in keys:
        assert line is not None
        try:
            image = opened.reader.image(opened.series, key, choice.frame)
        except NotShownError:
            continue
        scale = scales.scale(opened, choice, key)
        grid = opened.series.grid(key)
        distance, intensity = profile(image, grid, line, width_px=choice.line_width_px)
        found[key] = (distance, intensity * scale.gain + scale.offset)
    return found


def draw_spectra(
    opened: Opened, choice: Choice, scales: Scales, *, across_px: float
) -> list[DrawnSpectrum]:
    """Transform the two images of the FFT pane, in one grey window.

    Parameters
    ----------
    opened, choice, scales
        As for `draw`.
    across_px : float
        Width of one picture on the screen.

    Returns
    -------
    list of DrawnSpectrum
        Two.
    """
    series, spectra, words = opened.series, {}, {}
    for key in dict.fromkeys(choice.spectra):
        try:
            image = opened.reader.image(series, key, choice.frame)
        except NotShownError as error:
            words[key] = str(error)
            continue
        scale = scales.scale(opened, choice, key)
        spectra[key] = spectrum(image, series.grid(key), scale=scale, in_nm=series.known_size)
    window = common_window(list(spectra.values())) if spectra else None
    drawn = []
    for key in choice.spectra:
        one = spectra.get(key)
        if one is None or window is None:
            drawn.append(
                DrawnSpectrum(key=key, pixels=None, bounds=(-1, -1, 2, 2), word=words.get(key, ""))
            )
            continue
        pixels = picture(one, window, zoom=across_px / one.values.shape[1])
        drawn.append(
            DrawnSpectrum(key=key, pixels=pixels, bounds=(one.left, one.top, one.width, one.height))
        )
    return drawn
