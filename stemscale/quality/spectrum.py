"""Power spectrum of an image, its profile along the scan line, and how far two of them agree."""

import numpy as np
import numpy.typing as npt
from scipy.fft import fft2, fftshift, rfft
from scipy.ndimage import uniform_filter1d

from stemscale.errors import FrameShapeError, SettingsError
from stemscale.quality.common_pixels import FloatImage, Image
from stemscale.quality.transforms import hann, waves_per_px

Profile = npt.NDArray[np.float64]


def power_spectrum(image: Image) -> FloatImage:
    """Return the natural logarithm of the power of an image's Fourier transform.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        Intensities; NaN (not seen) counts as the mean of what is seen.

    Returns
    -------
    ndarray of float64, shape (y, x)
        ln |F|² after a Hann window, zero frequency at pixel (n_y // 2, n_x // 2). Where there is
        no power at all, the logarithm of the smallest positive number (about -708).

    Raises
    ------
    FrameShapeError
        If the image is not (y, x).

    Notes
    -----
    Source: Ihara 2022, Results (row Q4). The Hann window keeps the jump between opposite borders
    from drawing a cross over the spectrum, where it would hide the streak of the lag (row Q6).

    Examples
    --------
    Zero frequency is in the middle; a wave that repeats every 8 of 64 px is 8 px from there:

    >>> import numpy as np
    >>> from stemscale.quality import power_spectrum
    >>> image = np.tile(np.cos(2 * np.pi * np.arange(64) / 8), (64, 1))
    >>> spectrum = power_spectrum(image)
    >>> row, column = np.unravel_index(np.argmax(spectrum), spectrum.shape)
    >>> int(row), abs(int(column) - 32)
    (32, 8)
    """
    filled = _filled(image)
    n_y, n_x = filled.shape
    window = np.outer(hann(n_y), hann(n_x))
    return _ln_power(fftshift(fft2(filled * window)))


def horizontal_profile(image: Image, *, pixel_size_nm: float | None) -> tuple[Profile, Profile]:
    """Return the line profile of the power spectrum along x, from its centre outwards.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        Intensities; NaN (not seen) counts as the mean of what is seen.
    pixel_size_nm : float or None
        Pixel size [nm]; None where it is not known.

    Returns
    -------
    wave_number : ndarray of float64, shape ((n_x + 1) // 2,)
        0 and up [1/µm], or [1/px] without a pixel size. 1/wave number is the period: 120 /µm is
        8.3 nm, which is 4 px of 2.1 nm.
    ln_power : ndarray of float64, shape ((n_x + 1) // 2,)
        ln |F|² there.

    Raises
    ------
    FrameShapeError
        If the image is not (y, x).
    SettingsError
        If the pixel size is not positive.

    Notes
    -----
    Source: Ihara 2022, Fig. 4c (row Q4).

    Examples
    --------
    A period of 4 px of 2.1 nm is a wave number of 119 /µm:

    >>> import numpy as np
    >>> from stemscale.quality import horizontal_profile
    >>> image = np.tile(np.cos(2 * np.pi * np.arange(64) / 4), (64, 1))
    >>> wave_number, ln_power = horizontal_profile(image, pixel_size_nm=2.1)
    >>> round(float(wave_number[np.argmax(ln_power)]), 2)
    119.05
    """
    scale = waves_per_px(pixel_size_nm)
    filled = _filled(image)
    ln_power = profile_of_columns(hann(filled.shape[0]) @ filled)
    return np.arange(ln_power.size) / filled.shape[1] * scale, ln_power


def profile_of_columns(columns: npt.NDArray[np.float64]) -> Profile:
    """Give the horizontal profile of images from the sums of their columns.

    The waves of which ln power is taken have no part along y, so that they see an image summed
    over y, and no transform of the whole image is needed.

    Parameters
    ----------
    columns : ndarray, shape (…, x)
        Sums of each column, its pixels weighted by a Hann window along y.

    Returns
    -------
    ndarray of float64, shape (…, (n_x + 1) // 2)
        ln |F|² as in `horizontal_profile`.
    """
    n_x = columns.shape[-1]
    transform = rfft(columns * hann(n_x))[..., : (n_x + 1) // 2]
    return _ln_power(transform)


def radial_profile(image: Image, *, pixel_size_nm: float | None) -> tuple[Profile, Profile]:
    """Return the power of an image by wave number, in all directions.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        Intensities; NaN (not seen) counts as the mean of what is seen.
    pixel_size_nm : float or None
        Pixel size [nm]; None where it is not known.

    Returns
    -------
    wave_number : ndarray of float64, shape ((n + 1) // 2,)
        0 and up [1/µm], or [1/px] without a pixel size, in steps of one wave along the shorter
        side, of n pixels.
    ln_power : ndarray of float64, shape ((n + 1) // 2,)
        ln of the mean of |F|² over the waves nearest to each wave number, after a Hann window.

    Raises
    ------
    FrameShapeError
        If the image is not (y, x).
    SettingsError
        If the pixel size is not positive.

    Notes
    -----
    The mean is that of the power, not of its logarithm, which would lie 0.58 lower where power
    scatters as that of noise does. A smear along x alone hides here: compare with
    :func:`horizontal_profile`. For row Q4.

    Examples
    --------
    A wave across the scan, which the horizontal profile does not see:

    >>> import numpy as np
    >>> from stemscale.quality import radial_profile
    >>> image = np.tile(np.cos(2 * np.pi * np.arange(64) / 4)[:, None], (1, 64))
    >>> wave_number, ln_power = radial_profile(image, pixel_size_nm=None)
    >>> float(wave_number[np.argmax(ln_power)])  # [1/px]
    0.25
    """
    scale = waves_per_px(pixel_size_nm)
    ln_power = power_spectrum(image)
    n_y, n_x = ln_power.shape
    shorter = min(n_y, n_x)
    f_y, f_x = (np.arange(n) - n // 2 for n in (n_y, n_x))
    ring = np.rint(np.hypot(f_y[:, None] / n_y, f_x[None, :] / n_x) * shorter).astype(np.int64)
    size = (shorter + 1) // 2
    power = np.bincount(ring.ravel(), np.exp(ln_power).ravel())[:size]
    mean = power / np.bincount(ring.ravel())[:size]
    ln_mean: Profile = np.log(np.maximum(mean, np.finfo(np.float64).tiny))
    return np.arange(size) / shorter * scale, ln_mean


def _filled(image: Image) -> FloatImage:
    if image.ndim != 2:
        raise FrameShapeError(f"image has shape {image.shape}, needed is (y, x)")
    values = np.asarray(image, dtype=np.float64)
    seen = ~np.isnan(values)
    filled: FloatImage = np.where(seen, values, values[seen].mean() if seen.any() else 0.0)
    return filled


def _ln_power(transform: npt.NDArray[np.complex128]) -> npt.NDArray[np.float64]:
    power = transform.real**2 + transform.imag**2
    logarithm: npt.NDArray[np.float64] = np.log(np.maximum(power, np.finfo(np.float64).tiny))
    return logarithm


def agreement_cutoff(
    profile: Profile,
    reference_profile: Profile,
    wave_number: Profile,
    *,
    tolerance: float = 1.0,
    smooth_bins: int = 9,
) -> float:
    """Find the wave number up to which one spectrum follows another.

    Parameters
    ----------
    profile, reference_profile : ndarray, shape (n,)
        ln power of a filtered image and of the slow scan, from :func:`horizontal_profile`. Put
        both images on one scale before (:func:`match_gain`): a gain shifts the whole profile.
    wave_number : ndarray, shape (n,)
        Ascending from 0 [1/µm].
    tolerance : float
        Largest difference of ln power that counts as agreement; 1 is a factor of 2.7 in power.
    smooth_bins : int
        Width of the running mean over the difference [bins]: single bins scatter by more than
        any tolerance.

    Returns
    -------
    float
        The last wave number before the two part for the first time [1/µm]; 0 where they part at
        once, the last one where they never do.

    Raises
    ------
    FrameShapeError
        If the three arrays are not of one length.
    SettingsError
        If ``tolerance`` is not positive or ``smooth_bins`` below 1.

    Notes
    -----
    Source: Ihara 2022, Fig. 4c and 6c (row Q5), which reads the number off by eye. Equal power
    is not equal detail: noise that fills in lost power counts as agreement here. Where there is
    a truth, trust coherence with it instead.

    Examples
    --------
    From 60 /µm on, the filtered image has e^2 times less power than the slow scan:

    >>> import numpy as np
    >>> from stemscale.quality import agreement_cutoff
    >>> wave_number = np.arange(0.0, 100.0, 10.0)
    >>> slow = np.zeros(10)
    >>> filtered = np.where(wave_number < 60, 0.0, -2.0)
    >>> agreement_cutoff(filtered, slow, wave_number, smooth_bins=1)
    50.0
    """
    if not profile.shape == reference_profile.shape == wave_number.shape or profile.ndim != 1:
        raise FrameShapeError(
            f"profiles and wave numbers have shapes {profile.shape}, {reference_profile.shape} "
            f"and {wave_number.shape}: needed are three lists of one length"
        )
    if not tolerance > 0 or smooth_bins < 1:
        raise SettingsError(
            f"tolerance is {tolerance:g} and smooth_bins {smooth_bins}: "
            "needed are more than 0 and at least 1"
        )
    (found,) = cutoffs_of_profiles(
        profile[None], reference_profile, wave_number, tolerance=tolerance, smooth_bins=smooth_bins
    )
    return float(found)


def cutoffs_of_profiles(
    profiles: npt.NDArray[np.float64],
    reference_profile: Profile,
    wave_number: Profile,
    *,
    tolerance: float = 1.0,
    smooth_bins: int = 9,
) -> npt.NDArray[np.float64]:
    """Find `agreement_cutoff` of many profiles (frame, wave number) at once: (frame,)."""
    difference = uniform_filter1d(
        profiles - reference_profile, smooth_bins, axis=-1, mode="nearest"
    )
    apart = np.abs(difference) > tolerance
    first = np.where(apart.any(axis=-1), apart.argmax(axis=-1), wave_number.size)
    found: npt.NDArray[np.float64] = wave_number[np.maximum(first - 1, 0)]
    return found
