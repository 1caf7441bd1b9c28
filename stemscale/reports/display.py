"""Bring images onto one grey scale for the eye, and choose where to look closer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, uniform_filter

from stemscale.quality import gain_and_offset, zncc

if TYPE_CHECKING:  # else what only scales images would wait for torch
    from stemscale.reports.pixels import FovShots, Shot

FloatImage = npt.NDArray[np.float64]

_LEAST_LIKENESS = 0.1  # ZNCC below which a gain match would follow chance
_CROP_SHARE = 6  # a crop is this part of the shorter side


@dataclass(frozen=True, kw_only=True, slots=True)
class Crop:
    """A square part of an image [px]."""

    top: int
    left: int
    size: int

    def of(self, image: FloatImage) -> FloatImage:
        """Cut it out of an image (y, x)."""
        return image[self.top : self.top + self.size, self.left : self.left + self.size]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Display:
    """Images of one FOV on one scale, its grey window, and the place to magnify."""

    images: tuple[FloatImage, ...]  # in the order of the shots
    black: float
    white: float
    crop: Crop | None
    matched_to: str


def prepare(shots: FovShots) -> Display:
    """Match the images of a FOV in gain and offset, for display only.

    Parameters
    ----------
    shots : FovShots

    Returns
    -------
    Display
        The window runs from the 0.5 % to the 99.5 % quantile of the reference (slow scan, else
        average, else filtered frame), widened by a sixth of that on either side.
    """
    reference = shots.reference
    images = tuple(on_scale_of(s.image, reference.image) for s in shots.shots)
    black, white = grey_window(reference.image)
    return Display(
        images=images,
        black=black,
        white=white,
        crop=smeared_place(reference.image, [s.image for s in shots.shots]),
        matched_to=reference.name,
    )


def on_grid(shots: FovShots, display: Display) -> list[tuple[Shot, FloatImage]]:
    """Pair the images that share the grid of the reference with their form on its scale.

    Parameters
    ----------
    shots : FovShots
    display : Display
        As from `prepare`.

    Returns
    -------
    list of (Shot, ndarray)
        In reading order; at least the reference itself.
    """
    grid = shots.reference.image.shape
    return [
        (shot, image)
        for shot, image in zip(shots.shots, display.images, strict=True)
        if image.shape == grid
    ]


def on_scale_of(image: FloatImage, reference: FloatImage) -> FloatImage:
    """Match gain and offset of a noisy image to a clean reference, keeping its contrast.

    Parameters
    ----------
    image, reference : ndarray, shape (y, x)
        See `gain_to`.

    Returns
    -------
    ndarray, shape (y, x)
    """
    gain, offset = gain_to(image, reference)
    return image * gain + offset


def gain_to(image: FloatImage, reference: FloatImage) -> tuple[float, float]:
    """Find gain and offset that bring a noisy image onto the scale of a clean reference.

    Parameters
    ----------
    image, reference : ndarray, any shape
        Of one scene; another scene or another shape is matched by median and spread. Or pixels of
        several frames, for one gain of them all.

    Returns
    -------
    gain, offset : float
        For ``gain * image + offset``. The fit runs from the reference to the image and is then
        inverted: the other way round, noise would pull the gain, and with it the contrast shown,
        towards 0.
    """
    if image.shape == reference.shape and zncc(image, reference) > _LEAST_LIKENESS:
        gain, offset = gain_and_offset(reference, image)
        if gain > 0:
            return 1 / gain, -offset / gain
    spread, wanted = _spread(image), _spread(reference)
    gain = wanted / spread if spread > 0 and wanted > 0 else 1.0
    return gain, float(np.nanmedian(reference)) - gain * float(np.nanmedian(image))


def grey_window(image: FloatImage) -> tuple[float, float]:
    """Choose black and white for an image; a constant one gets a window of 1 around it."""
    low, high = np.nanquantile(image, [0.005, 0.995])
    margin = (high - low) / 6
    if not margin > 0:
        return float(low) - 0.5, float(low) + 0.5
    return float(low - margin), float(high + margin)


def smeared_place(reference: FloatImage, images: list[FloatImage]) -> Crop | None:
    """Find where a lag along x would show most: much change along x, seen in all images.

    Parameters
    ----------
    reference : ndarray, shape (y, x)
        The sharpest image.
    images : list of ndarray, shape (y, x)
        Images to be compared there; those of another shape do not take part.

    Returns
    -------
    Crop or None
        A sixth of the shorter side, at least 12 px; None where the image is too small, or no
        such square is seen in all images.
    """
    size = max(12, min(reference.shape) // _CROP_SHARE)
    if min(reference.shape) < 2 * size:
        return None
    seen = np.isfinite(reference)
    for image in images:
        if image.shape == reference.shape:
            seen &= np.isfinite(image)
    filled = np.where(np.isfinite(reference), reference, np.nanmedian(reference))
    # a vertical edge changes along x only; noise changes both ways and cancels
    soft = gaussian_filter(filled, 1.5)
    edges = np.gradient(soft, axis=1) ** 2 - np.gradient(soft, axis=0) ** 2
    # weighted to the middle: an edge at the rim of the crop would show no tail beside it
    score = gaussian_filter(edges, size / 5)
    whole = uniform_filter(seen.astype(np.float64), size, mode="constant") > 1 - 0.5 / size**2
    half = size // 2
    inside = np.zeros_like(whole)
    last_y, last_x = (n - size + half + 1 for n in reference.shape)
    inside[half:last_y, half:last_x] = True
    allowed = whole & inside
    if not allowed.any():
        return None
    y, x = np.unravel_index(int(np.argmax(np.where(allowed, score, -np.inf))), score.shape)
    return Crop(top=int(y) - half, left=int(x) - half, size=size)


def _spread(image: FloatImage) -> float:
    low, high = np.nanquantile(image, [0.16, 0.84])
    return float(high - low) / 2
