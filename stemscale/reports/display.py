"""Bring the images of a page onto one grey scale, and choose where to look closer."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, uniform_filter

from stemscale.reports.shots import FovShots, Shot
from stemscale.views.grey_scale import grey_window, on_scale_of

FloatImage = npt.NDArray[np.float64]

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
