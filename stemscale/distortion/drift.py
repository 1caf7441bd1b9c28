"""Where the scene of a reference lies in each frame: sub-pixel shifts by cross-correlation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from stemscale.errors import FrameShapeError, SettingsError

Image = NDArray[Any]
Frames = NDArray[Any]
Spectrum = NDArray[np.complex64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class DriftSearch:
    """How two frames are correlated.

    Attributes
    ----------
    background_px : float
        What varies more slowly than this Gaussian [px] is left out: background, contamination.
    smooth_px : float
        Gaussian against noise [px].
    taper : float
        Share of each axis over which a frame fades out at either border.
    max_jump : float
        Largest shift from one frame to the next, as a share of the frame's length.
    """

    background_px: float = 12.0
    smooth_px: float = 1.5
    taper: float = 0.1
    max_jump: float = 0.25

    def __post_init__(self) -> None:
        if not 0 < self.smooth_px < self.background_px:
            raise SettingsError(
                f"smooth_px is {self.smooth_px:g} and background_px {self.background_px:g}: "
                "needed is 0 < smooth_px < background_px"
            )
        for name in ("taper", "max_jump"):
            if not 0 < getattr(self, name) <= 0.5:
                raise SettingsError(f"{name} is {getattr(self, name):g}: needed is 0 to 0.5")


def estimate_shifts(
    frames: Frames | Iterable[Image],
    reference: Image,
    *,
    search: DriftSearch = DriftSearch(),
    start: tuple[float, float] = (0.0, 0.0),
) -> FloatArray:
    """Find where the scene of a reference lies in each frame.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x), or iterable of ndarray, shape (y, x)
        Any real dtype; one after the other in time.
    reference : ndarray, shape (y, x)
        Best a mean of aligned frames; NaN = not seen.
    search : DriftSearch
    start : tuple of float
        Where to look in the first frame (dy, dx) [px]; each later one is looked for around the
        one before, so a drift may add up to more than half of the frame's length.

    Returns
    -------
    ndarray of float64, shape (frame, 2)
        (dy, dx) [px] with ``frame(y + dy, x + dx) = reference(y, x)``; NaN for a frame without
        any contrast, e.g. of a blanked beam.

    Raises
    ------
    FrameShapeError
        If a frame and the reference differ in shape.

    Notes
    -----
    The images are band-passed and correlated by FFT; the peak is refined by Newton steps on the
    correlation itself (a band-limited sum of waves), which has none of the bias towards whole
    pixels of a parabola through three samples. Noise of a frame is not in a reference made of
    *other* frames, so that the lag, which correlates the noise along x, only widens the peak; a
    reference that holds the frame itself pulls its shift towards 0. Source: row D3.
    """
    correlator = Correlator(reference, search)
    shifts = []
    last = start
    for number, frame in enumerate(frames):
        if frame.shape != reference.shape:
            raise FrameShapeError(
                f"frame {number} has shape {frame.shape} but its reference has {reference.shape}: "
                "align frames of one scan setting only"
            )
        found = correlator.shift(frame, last)
        shifts.append(found if found is not None else (np.nan, np.nan))
        last = found or last
    return np.array(shifts, dtype=np.float64).reshape(-1, 2)


class Correlator:
    """Correlates frames with one reference.

    Parameters
    ----------
    reference : ndarray, shape (y, x)
        NaN = not seen.
    search : DriftSearch
    """

    def __init__(self, reference: Image, search: DriftSearch = DriftSearch()) -> None:
        self._reference = _filled(reference)
        self._search = search
        self._band = Band(self._reference.shape, search)
        self._spectra: dict[tuple[int, int], Spectrum] = {}

    def shift(self, frame: Image, guess: tuple[float, float]) -> tuple[float, float] | None:
        """Find a frame's shift (dy, dx) [px] near a guess; None where it has no contrast."""
        filled = _filled(frame)
        around = (round(guess[0]), round(guess[1]))
        found: tuple[float, float] = around
        # what both see depends on the shift: look again once it is known
        for _ in range(3):
            moved = self._band.spectrum(_overlap(filled, around))
            rest = self._band.peak(moved * np.conj(self._reference_spectrum(around)))
            if rest is None:
                return None
            found = (around[0] + rest[0], around[1] + rest[1])
            # the fading borders are alike in both: what is left of the shift they pull towards 0,
            # which in a long drift adds up through the running mean
            if max(abs(rest[0]), abs(rest[1])) <= 0.6:
                break
            around = (round(found[0]), round(found[1]))
        return float(found[0]), float(found[1])

    def _reference_spectrum(self, around: tuple[int, int]) -> Spectrum:
        if around not in self._spectra:
            if len(self._spectra) > 8:
                self._spectra.clear()
            part = _overlap(self._reference, (-around[0], -around[1]))
            self._spectra[around] = self._band.spectrum(part)
        return self._spectra[around]


class Band:
    """The band of wave numbers that says where a scene lies, and nothing of background or noise."""

    def __init__(self, shape: tuple[int, ...], search: DriftSearch) -> None:
        n_y, n_x = shape
        self._shape = (n_y, n_x)
        self._search = search
        highest = min(0.5, 0.4 / search.smooth_px)  # cycles per px; the Gaussian is 4 % there
        self._k_x = fft.rfftfreq(n_x)
        self._k_x = self._k_x[self._k_x <= highest]
        k_y = fft.fftfreq(n_y)
        self._rows = np.flatnonzero(np.abs(k_y) <= highest)
        self._k_y = k_y[self._rows]
        squared = (2 * np.pi) ** 2 * (self._k_y[:, None] ** 2 + self._k_x[None] ** 2)
        low = 1 - np.exp(-0.5 * squared * search.background_px**2)
        gain = low * np.exp(-0.5 * squared * search.smooth_px**2)
        gain[:, 1:] *= 2  # the negative half of k_x, which a real image repeats
        self._gain = gain.astype(np.float32)

    def spectrum(self, image: NDArray[np.float32]) -> Spectrum:
        """Return the spectrum within the band, of (a part of) an image, faded at its borders."""
        n_y, n_x = image.shape
        window_y = _fade(n_y, self._search.taper).astype(np.float32)
        window_x = _fade(n_x, self._search.taper).astype(np.float32)
        faded = np.zeros(self._shape, dtype=np.float32)
        inner = (image - image.mean()) * window_y[:, None] * window_x[None]
        faded[:n_y, :n_x] = inner
        along_x = fft.rfft(faded, axis=1)[:, : self._k_x.size]
        result: Spectrum = fft.fft(along_x, axis=0)[self._rows]
        return result

    def peak(self, cross: Spectrum) -> tuple[float, float] | None:
        """Return where the correlation of a cross spectrum is highest (dy, dx) [px]."""
        cross = cross * self._gain
        if not np.isfinite(cross).all() or not np.abs(cross).max() > 0:
            return None
        at = self._coarse(cross)
        for _ in range(8):
            gradient, curvature = self._slopes(cross, at)
            if curvature[0, 0] >= 0 or np.linalg.det(curvature) <= 0:  # not yet on the summit
                step = gradient / max(float(np.abs(gradient).max()), 1e-30) * 0.5
            else:
                step = -np.asarray(np.linalg.solve(curvature, gradient), dtype=np.float64)
            at = at + np.clip(step, -1, 1)
            if np.abs(step).max() < 1e-3:
                break
        return float(at[0]), float(at[1])

    def _coarse(self, cross: Spectrum) -> FloatArray:
        """Return the highest sample of the correlation on a grid of about a pixel and a half."""
        n_y, n_x = self._shape
        m_y = fft.next_fast_len(2 * int(np.abs(self._k_y).max() * n_y + 1) + 1)
        m_x = fft.next_fast_len(2 * self._k_x.size + 1, real=True)
        padded = np.zeros((m_y, m_x // 2 + 1), dtype=np.complex64)
        padded[np.rint(self._k_y * n_y).astype(int) % m_y, : self._k_x.size] = cross
        padded[:, 1:] *= 0.5
        surface = fft.irfft(fft.ifft(padded, axis=0), n=m_x, axis=1)
        dy = fft.fftfreq(m_y) * n_y
        dx = fft.fftfreq(m_x) * n_x
        limit_y, limit_x = self._search.max_jump * n_y, self._search.max_jump * n_x
        near = (np.abs(dy) <= limit_y)[:, None] & (np.abs(dx) <= limit_x)[None]
        surface[~near] = -np.inf
        row, column = np.unravel_index(int(np.argmax(surface)), surface.shape)
        return np.array([dy[row], dx[column]])

    def _slopes(self, cross: Spectrum, at: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return gradient and curvature of the correlation at a shift."""
        w_y, w_x = 2 * np.pi * self._k_y, 2 * np.pi * self._k_x
        wave_y, wave_x = np.exp(1j * w_y * at[0]), np.exp(1j * w_x * at[1])
        powers_y = np.stack([wave_y, wave_y * 1j * w_y, -wave_y * w_y**2]).astype(np.complex64)
        powers_x = np.stack([wave_x, wave_x * 1j * w_x, -wave_x * w_x**2]).astype(np.complex64)
        table = (powers_y @ cross @ powers_x.T).real.astype(np.float64)
        gradient = np.array([table[1, 0], table[0, 1]])
        curvature = np.array([[table[2, 0], table[1, 1]], [table[1, 1], table[0, 2]]])
        return gradient, curvature


def _overlap(image: NDArray[np.float32], shift: tuple[int, int]) -> NDArray[np.float32]:
    """Cut out what the other image sees as well.

    Of a frame whose scene lies at ``shift``, the rows and columns from there on; of its reference,
    the same with the shift's sign turned. Between the two, only the rest of the shift remains.
    """
    n_y, n_x = image.shape
    dy = int(np.clip(shift[0], 8 - n_y, n_y - 8))  # a few pixels are always left
    dx = int(np.clip(shift[1], 8 - n_x, n_x - 8))
    return image[max(0, dy) : n_y + min(0, dy), max(0, dx) : n_x + min(0, dx)]


def _filled(image: Image) -> NDArray[np.float32]:
    """Return the image as float32, its unseen pixels at the mean of the others."""
    values = np.array(image, dtype=np.float32)
    seen = np.isfinite(values)
    if not seen.all():
        values[~seen] = values[seen].mean() if seen.any() else 0.0
    return values


def _fade(n: int, taper: float) -> FloatArray:
    """Return a window of length n that rises from and falls to 0 over its ends as a cosine."""
    width = max(1, round(taper * n))
    rise = 0.5 - 0.5 * np.cos(np.pi * (np.arange(width) + 0.5) / width)
    window = np.ones(n)
    window[:width] *= rise
    window[n - width :] *= rise[::-1]
    return window
