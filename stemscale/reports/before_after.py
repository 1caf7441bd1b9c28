"""The average of rapid frames on the slow scan's grid, before and after its correction."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from stemscale.distortion import DistortionMap, Warp, nominal_source
from stemscale.errors import DistortionError
from stemscale.quality import remove_background
from stemscale.reports.lines import has_dark_lines, telling_rows

FloatArray = npt.NDArray[np.float64]
FloatImage = npt.NDArray[np.float64]

_SMOOTH_PX = 1.5  # against noise


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Flat:
    """Images (y, x) without their smooth backgrounds, in which rapid and slow scans differ.

    All are in % of the range of the slow scan, from the 0.5 % to the 99.5 % quantile. NaN = not
    seen.
    """

    before: FloatImage
    after: FloatImage
    slow: FloatImage

    @property
    def residual_before(self) -> FloatImage:
        """Rapid less slow scan, uncorrected [%]."""
        return self.before - self.slow

    @property
    def residual(self) -> FloatImage:
        """Rapid less slow scan, corrected [%]."""
        return self.after - self.slow


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Images:
    """The average of the rapid frames on the slow scan's grid, before and after correction.

    Attributes
    ----------
    before, after : ndarray, shape (y, x)
        On the scale of the slow scan, where there is one; NaN = not seen. Before: each pixel
        taken where a scan without distortion would have seen it.
    slow : ndarray, shape (y, x), or None
        The slow scan [counts]; None without one on this grid.
    flat : Flat or None
        All three without their smooth backgrounds; None without a slow scan.
    n_frames : int
        How many frames the average is of.
    rows : tuple of int
        First row of the line profiles, and the one after the last.
    dark_lines : bool
        Whether the structure is darker than its surroundings, as in bright field.
    """

    before: FloatImage
    after: FloatImage
    slow: FloatImage | None
    flat: Flat | None
    n_frames: int
    rows: tuple[int, int]
    dark_lines: bool

    def profile(self, image: FloatImage) -> FloatArray:
        """Average the chosen rows of one of the images (y, x) to a line profile (x,)."""
        line: FloatArray = image[self.rows[0] : self.rows[1]].mean(axis=0)
        return line


def stretch_percent(source_x: FloatArray, pixel_ratio: float) -> FloatArray:
    """Say by how much each place of the rapid scan is stretched to fit the slow one [%].

    Parameters
    ----------
    source_x : ndarray, shape (x,)
        Column of the rapid frame [px].
    pixel_ratio : float
        Rapid pixels per pixel of the corrected grid, nominally.

    Returns
    -------
    ndarray, shape (x,)
        0 without distortion, 100 where a strip is drawn to twice its width (row C4).
    """
    if source_x.size < 2:
        return np.zeros(source_x.size)
    stretch: FloatArray = 100 * (pixel_ratio / np.gradient(source_x) - 1)
    return stretch


def correct_images(
    average: FloatImage,
    distortion: DistortionMap,
    slow: FloatImage | None,
    pixel_ratio: float,
    n_frames: int,
) -> Images:
    """Bring the average of the rapid frames onto the slow grid, with and without correction.

    Parameters
    ----------
    average : ndarray, shape (y, x)
        Of the rapid frames, as scanned [counts]; NaN = not seen.
    distortion : DistortionMap
        The map.
    slow : ndarray, shape (y, x), or None
        The slow scan [counts].
    pixel_ratio : float
        Rapid pixels per pixel of the corrected grid, nominally.
    n_frames : int
        How many frames the average is of.

    Returns
    -------
    Images
        Both rapid images have the gain and offset that fit the corrected one.

    Raises
    ------
    DistortionError
        If the map shows nothing of the rapid frames.
    """
    n_y, n_x = distortion.shape
    nominal = DistortionMap(
        source_x=nominal_source(n_x, pixel_ratio)[None],
        source_y=nominal_source(n_y, pixel_ratio)[:, None],
        rapid_shape=distortion.rapid_shape,
    )
    before, after = (
        np.asarray(Warp(m)(average[None])[0], dtype=np.float64) for m in (nominal, distortion)
    )
    if slow is not None and slow.shape != after.shape:
        slow = None
    if not np.isfinite(after if slow is None else after + slow).any():
        raise DistortionError("the map shows no place that the rapid frames saw: calibrate again")
    flat = None
    if slow is not None:
        gain = structure_gain(after, slow)
        offset = float(np.nanmean(slow - gain * after))
        before, after = gain * before + offset, gain * after + offset
        flat = flatten(before, after, slow)
    sharpest = remove_background(after) if flat is None else flat.slow
    return Images(
        before=before,
        after=after,
        slow=slow,
        flat=flat,
        n_frames=n_frames,
        rows=telling_rows(sharpest, seen=np.isfinite(before) & np.isfinite(after)),
        dark_lines=has_dark_lines(sharpest),
    )


def flatten(before: FloatImage, after: FloatImage, slow: FloatImage) -> Flat:
    """Take the smooth backgrounds off, and give the rest in % of the slow scan's range.

    Parameters
    ----------
    before, after, slow : ndarray, shape (y, x)
        Of one gain; NaN = not seen.

    Returns
    -------
    Flat
    """
    one, other, reference = (remove_background(i) for i in (before, after, slow))
    low, high = np.nanquantile(reference, [0.005, 0.995])
    percent = 100 / (high - low) if high > low else 0.0
    return Flat(before=one * percent, after=other * percent, slow=reference * percent)


def structure_gain(image: FloatImage, reference: FloatImage) -> float:
    """Find the gain that gives the structure of an image the contrast of the reference's.

    Parameters
    ----------
    image, reference : ndarray, shape (y, x)
        Of one scene; NaN = not seen.

    Returns
    -------
    float
        Ratio of the standard deviations, without smooth backgrounds and most of the noise. A fit
        by least squares would take noise in one image for too much contrast, or too little.
    """
    seen = np.isfinite(image) & np.isfinite(reference)
    flat = (remove_background(np.where(seen, i, np.nan)) for i in (image, reference))
    spread, wanted = (
        float(np.std(gaussian_filter(np.nan_to_num(i), _SMOOTH_PX)[seen])) if seen.any() else 0.0
        for i in flat
    )
    return wanted / spread if spread > 0 and wanted > 0 else 1.0
