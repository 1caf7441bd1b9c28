"""Dips of a line profile: where dislocations lie, how deep and how wide they are."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

from stemscale.errors import FrameShapeError, SettingsError
from stemscale.quality.vertex import vertex

Line = npt.NDArray[np.float64]

SMOOTH_PX = 1.5  # against noise, where dips are looked for
LEAST_SHARE = 0.15  # of the profile's range
FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))  # of a Gaussian, in standard deviations: 2.355
_REACH = 3.0  # widths on either side that a fit looks at
_LEAST_PX = 4
_NARROWEST_PX = 0.3  # standard deviation of a fit


@dataclass(frozen=True, kw_only=True, slots=True)
class Dip:
    """A dip of a line profile, or a peak where structure is bright.

    Attributes
    ----------
    position_px : float
        Of its centre [px].
    depth : float
        Below its surroundings; above, for a peak [unit of the profile].
    width_px : float
        Full width at half depth [px].
    left_px, right_px : float
        Where it is half as deep [px].
    position_std_px, width_std_px : float
        Standard errors, of a fit; NaN without one [px].
    """

    position_px: float
    depth: float
    width_px: float
    left_px: float
    right_px: float
    position_std_px: float = float("nan")
    width_std_px: float = float("nan")


def find_dips(
    line: Line,
    *,
    bright: bool = False,
    most: int | None = None,
    least_share: float = LEAST_SHARE,
    smooth_px: float = SMOOTH_PX,
) -> tuple[Dip, ...]:
    """Find the dips of a line profile.

    Parameters
    ----------
    line : ndarray, shape (x,)
        Intensities along a line; NaN = not seen.
    bright : bool
        Whether to look for peaks instead, as in dark field.
    most : int, optional
        The deepest so many; by default all.
    least_share : float
        Prominence of a dip, over the range of the profile, below which it does not count.
    smooth_px : float
        Standard deviation of the Gaussian that the profile is smoothed by first [px].

    Returns
    -------
    tuple of Dip
        From left to right. Depth and width are those of the smoothed profile: a width of w was
        sqrt(w² - (2.355 smooth_px)²) before, if the dip is a Gaussian. `fit_dip` needs no
        smoothing.

    Raises
    ------
    FrameShapeError
        If the profile is not (x,).
    SettingsError
        If ``least_share`` or ``smooth_px`` make no sense.

    Notes
    -----
    Source: Ihara 2022, Fig. 1b and 4b (row Q7), where dips mark dislocations.

    Examples
    --------
    Two dislocations, the deeper one at 15 px:

    >>> import numpy as np
    >>> from stemscale.quality import find_dips
    >>> x = np.arange(60)
    >>> deep, flat = (np.exp(-0.5 * ((x - at) / 2) ** 2) for at in (15, 40))
    >>> line = 100 - 40 * deep - 20 * flat
    >>> [round(dip.position_px, 1) for dip in find_dips(line)]
    [15.0, 40.0]
    >>> [round(dip.position_px, 1) for dip in find_dips(line, most=1)]
    [15.0]
    """
    from scipy.signal import find_peaks, peak_widths  # half a second, which the first look spares

    _check(line)
    if not 0 < least_share < 1 or not smooth_px >= 0:
        raise SettingsError(
            f"least_share is {least_share:g} and smooth_px {smooth_px:g}: needed are a number "
            f"between 0 and 1, and 0 px or more"
        )
    seen = np.isfinite(line)
    if seen.sum() < _LEAST_PX:
        return ()
    filled = np.interp(np.arange(line.size), np.flatnonzero(seen), line[seen])
    smooth = gaussian_filter1d(filled, smooth_px) if smooth_px else filled
    heights = smooth if bright else -smooth
    found, about = find_peaks(heights, prominence=max(least_share * float(np.ptp(heights)), 1e-12))
    found, prominences = found[seen[found]], about["prominences"][seen[found]]
    strongest = np.sort(np.argsort(prominences)[::-1][:most])
    widths, _, lefts, rights = peak_widths(heights, found[strongest], rel_height=0.5)
    return tuple(
        Dip(
            position_px=vertex(heights, int(found[i])),
            depth=float(prominences[i]),
            width_px=float(width),
            left_px=float(left),
            right_px=float(right),
        )
        for i, width, left, right in zip(strongest, widths, lefts, rights, strict=True)
    )


def fit_dip(
    line: Line, near_px: float, *, width_px: float = 6.0, bright: bool = False
) -> Dip | None:
    """Fit one dip by a Gaussian on a slope.

    Parameters
    ----------
    line : ndarray, shape (x,)
        Intensities along a line, not smoothed; NaN = not seen.
    near_px : float
        Where it is about [px].
    width_px : float
        Its full width at half depth, about [px]; three of them on either side are looked at.
    bright : bool
        Whether it is a peak.

    Returns
    -------
    Dip or None
        With standard errors, for noise that is not alike in neighbours; None where no dip is
        found there.

    Raises
    ------
    FrameShapeError
        If the profile is not (x,).
    SettingsError
        If the width is not positive.

    Notes
    -----
    The width of a dislocation's dip across its line is what a smear along the scan broadens, and a
    filter should bring back to that of the slow scan (row Q7). A smeared dip is no Gaussian: what
    it is then is the width of the Gaussian closest to it.

    Examples
    --------
    A Gaussian with a standard deviation of 2 px is 4.71 px wide at half depth:

    >>> import numpy as np
    >>> from stemscale.quality import fit_dip
    >>> x = np.arange(60)
    >>> line = 100 - 40 * np.exp(-0.5 * ((x - 20.3) / 2) ** 2)
    >>> dip = fit_dip(line, near_px=19)
    >>> round(dip.position_px, 2), round(dip.depth, 2), round(dip.width_px, 2)
    (20.3, 40.0, 4.71)
    """
    from scipy.optimize import curve_fit

    _check(line)
    if not width_px > 0:
        raise SettingsError(f"width_px is {width_px:g}: needed is a width above 0 px")
    first = max(0, round(near_px - _REACH * width_px))
    stop = min(line.size, round(near_px + _REACH * width_px) + 1)
    x = np.arange(first, stop, dtype=np.float64)
    values = line[first:stop]
    x, values = x[np.isfinite(values)], values[np.isfinite(values)]
    if x.size < 6:  # than there are parameters
        return None
    heights = values if bright else -values
    span = float(np.ptp(heights))
    if span == 0 or not x[0] < near_px < x[-1]:
        return None
    start = (span, near_px, width_px / FWHM, float(np.median(heights)), 0.0)
    low = (0.0, x[0], _NARROWEST_PX, -np.inf, -np.inf)
    high = (np.inf, x[-1], x[-1] - x[0], np.inf, np.inf)
    try:
        best, covariance = curve_fit(_gaussian, x, heights, p0=start, bounds=(low, high))
    except (RuntimeError, ValueError):  # it does not converge, or the start is out of bounds
        return None
    # a flank alone, as of a peak beside it, is fitted best by a centre at the end of what is seen
    if best[0] < 1e-6 * span or not x[0] + 0.5 < best[1] < x[-1] - 0.5:
        return None
    std = np.sqrt(np.diag(covariance))
    return Dip(
        position_px=float(best[1]),
        depth=float(best[0]),
        width_px=float(best[2] * FWHM),
        left_px=float(best[1] - best[2] * FWHM / 2),
        right_px=float(best[1] + best[2] * FWHM / 2),
        position_std_px=float(std[1]),
        width_std_px=float(std[2] * FWHM),
    )


def _gaussian(
    x: Line, height: float, centre: float, sigma: float, level: float, slope: float
) -> Line:
    return height * np.exp(-0.5 * ((x - centre) / sigma) ** 2) + level + slope * (x - centre)


def _check(line: Line) -> None:
    if line.ndim != 1:
        raise FrameShapeError(f"profile has shape {line.shape}, needed is (x,)")
