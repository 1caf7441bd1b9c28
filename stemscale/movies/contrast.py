"""One grey scale for all frames of a movie: what changes on the screen changed in the specimen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stemscale.errors import StoreError
from stemscale.movies.crop import Crop
from stemscale.movies.panels import Panel
from stemscale.views.grey_scale import gain_to, grey_window

GreyImage = NDArray[np.uint8]

_SAMPLED = 24  # frames that the scale is measured on, spread over the series
_PIXELS = 2**16  # of each; more would not change a quantile that the eye sees


@dataclass(frozen=True, kw_only=True, slots=True)
class Contrast:
    """How intensities of one panel become greys, the same for every frame.

    Attributes
    ----------
    black, white : float
        Intensities of the darkest and the brightest grey, as this panel counts them [counts].
    """

    black: float
    white: float

    def grey(self, picture: NDArray[np.float32]) -> GreyImage:
        """Make a picture (y, x) grey; pixels that were not seen are hatched."""
        scaled = (picture - np.float32(self.black)) * np.float32(255 / (self.white - self.black))
        unseen = ~np.isfinite(scaled)
        np.clip(scaled, 0, 255, out=scaled)
        if not unseen.any():
            seen: GreyImage = np.rint(scaled).astype(np.uint8)
            return seen
        scaled[unseen] = 0
        grey: GreyImage = np.rint(scaled).astype(np.uint8)
        grey[unseen] = hatching(*grey.shape, period=6)[unseen]
        return grey


def hatching(n_y: int, n_x: int, *, period: int) -> GreyImage:
    """Draw diagonal lines, lighter on dark: there is no picture here."""
    y, x = np.ogrid[:n_y, :n_x]
    lines: GreyImage = np.where((x + y) % period < max(1, period // 6), 84, 40).astype(np.uint8)
    return lines


def fix_contrast(
    panels: Sequence[Panel], shown: NDArray[np.int64], crop: Crop | None
) -> list[Contrast]:
    """Choose the grey scale of each panel from frames spread over the series.

    Parameters
    ----------
    panels : sequence of Panel
        The first filtered one is the reference: its window runs from the 0.5 % to the 99.5 %
        quantile of all sampled frames together, widened by a sixth of that on either side, and the
        others are brought onto its scale by one gain and offset each, where they show the same
        place; else their counts are taken as they are.
    shown : ndarray of int64
        Numbers of the frames that the movie shows.
    crop : Crop or None
        Part of the pictures that is shown.

    Returns
    -------
    list of Contrast

    Raises
    ------
    StoreError
        If there is no picture at all.
    """
    samples = [_sample(panel, numbers, crop) for panel, numbers in _sampled(panels, shown)]
    order = sorted(range(len(panels)), key=lambda i: panels[i].is_raw)
    seen = [i for i in order if np.isfinite(samples[i]).any()]
    if not seen:
        why = next((w for p in panels for w in p.missing.values()), "damaged, or nothing was seen")
        raise StoreError(
            f"no frame can be shown ({why}): choose others with --frames, or run `stemscale verify`"
        )
    reference = samples[seen[0]]
    black, white = grey_window(reference)
    found = []
    for panel, sample in zip(panels, samples, strict=True):
        gain, offset = (1.0, 0.0)
        # where pixels show other places, a fit would exaggerate the contrast: counts are counts
        if sample is not reference and panel.same_place and np.isfinite(sample).any():
            gain, offset = gain_to(sample, reference)
        found.append(Contrast(black=(black - offset) / gain, white=(white - offset) / gain))
    return found


def _sampled(
    panels: Sequence[Panel], shown: NDArray[np.int64]
) -> list[tuple[Panel, NDArray[np.int64]]]:
    """Choose the frames to measure, the same ones in all panels where they all have some."""
    numbers = np.unique(shown)
    common = np.array([n for n in numbers if not any(int(n) in p.missing for p in panels)])
    found = []
    for panel in panels:
        own = (
            common if common.size else np.array([n for n in numbers if int(n) not in panel.missing])
        )
        at = np.unique(np.linspace(0, own.size - 1, min(_SAMPLED, own.size)).astype(np.int64))
        found.append((panel, own[at].astype(np.int64)))
    return found


def _sample(panel: Panel, numbers: NDArray[np.int64], crop: Crop | None) -> NDArray[np.float64]:
    """Read some pixels of some frames, shape (frame, pixel); NaN where there is none."""
    rows = []
    for number in numbers.tolist():
        (picture,) = panel.pictures([number])
        if isinstance(picture, str):
            continue
        picture = picture if crop is None else crop.of(picture)
        step = max(1, math.ceil(math.sqrt(picture.size / _PIXELS)))
        rows.append(picture[::step, ::step].astype(np.float64).ravel())
    return np.stack(rows) if rows else np.full((1, 1), np.nan)
