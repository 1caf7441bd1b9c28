"""Where the scene of a reference lies in each frame: sub-pixel shifts by cross-correlation."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from stemscale.acquisition import Frames, Image
from stemscale.distortion.arrays import FloatArray
from stemscale.errors import FrameShapeError, SettingsError

Spectrum = NDArray[np.complex64]


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
        How far it is looked for at once, as a share of the frame's length. A frame that lies
        elsewhere is looked for again around the place found, so that it may be further away.
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
) -> FloatArray:
    """Find where the scene of a reference lies in each frame.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x), or iterable of ndarray, shape (y, x)
        Any real dtype; one after the other in time.
    reference : ndarray, shape (y, x)
        Best a mean of aligned frames; NaN = not seen.
    search : DriftSearch
        Each frame is looked for around the one before, the first around the reference's own place,
        so a drift may add up to more than half of the frame's length.

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

    Examples
    --------
    A particle that lies 1.5 px further down and 2 px further to the left:

    >>> import numpy as np
    >>> from stemscale.distortion import estimate_shifts
    >>> y, x = np.mgrid[:64, :64]
    >>> reference = np.exp(-((y - 32) ** 2 + (x - 32) ** 2) / 32)
    >>> frame = np.exp(-((y - 33.5) ** 2 + (x - 30) ** 2) / 32)
    >>> estimate_shifts([frame], reference).round(1).tolist()
    [[1.5, -2.0]]
    """
    correlator = Correlator(reference, search)
    shifts = []
    last = (0.0, 0.0)
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
        self._reference = filled(reference)
        self._band = band_of(self._reference.shape, search)
        self._spectra: dict[tuple[int, int], Spectrum] = {}

    def shift(self, frame: Image, guess: tuple[float, float]) -> tuple[float, float] | None:
        """Find a frame's shift (dy, dx) [px] near a guess; None where it has no contrast."""
        image = filled(frame)
        around = (round(guess[0]), round(guess[1]))
        found: tuple[float, float] = around
        # what both see depends on the shift: look again once it is known
        for _ in range(3):
            moved = self._band.spectrum(_overlap(image, around))
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
    """The band of wave numbers that says where a scene lies, and nothing of background or noise.

    Parameters
    ----------
    shape : tuple of int
        (y, x) of the frames.
    search : DriftSearch
    """

    def __init__(self, shape: tuple[int, int], search: DriftSearch) -> None:
        n_y, n_x = shape
        self.shape = shape
        self._search = search
        highest = min(0.5, 0.4 / search.smooth_px)  # cycles per px; the Gaussian is 4 % there
        k_x = fft.rfftfreq(n_x)
        k_x = k_x[k_x <= highest]
        k_y = fft.fftfreq(n_y)
        self._rows = np.flatnonzero(np.abs(k_y) <= highest)
        k_y = k_y[self._rows]
        squared = (2 * np.pi) ** 2 * (k_y[:, None] ** 2 + k_x[None] ** 2)
        low = 1 - np.exp(-0.5 * squared * search.background_px**2)
        gain = low * np.exp(-0.5 * squared * search.smooth_px**2)
        gain[:, 1:] *= 2  # the negative half of k_x, which a real image repeats
        self.gain = gain.astype(np.float32)
        self.detail = (gain * squared).astype(np.float32)  # of the slopes, not of the heights
        self._share = np.where(k_x > 0, 0.5, 1.0).astype(np.float32)  # of a wave's power in a sum
        self._w_y = (2j * np.pi * k_y).astype(np.complex64)  # i times the angular wave number
        self._w_x = (2j * np.pi * k_x).astype(np.complex64)
        self._powers_x = [self._w_x**0, self._w_x, self._w_x**2]
        # a coarser grid that holds the whole band, for the correlation's surface
        self._m_y = fft.next_fast_len(2 * int(np.abs(k_y).max() * n_y + 1) + 1)
        self._m_x = fft.next_fast_len(2 * k_x.size + 1, real=True)
        self._rows_coarse = np.rint(k_y * n_y).astype(int) % self._m_y
        self._dy = fft.fftfreq(self._m_y) * n_y
        self._dx = fft.fftfreq(self._m_x) * n_x

    def spectrum(self, image: Image) -> Spectrum:
        """Return the spectrum within the band, of (a part of) an image, faded at its borders."""
        n_y, n_x = image.shape
        whole = (n_y, n_x) == self.shape
        faded = np.empty(self.shape, np.float32) if whole else np.zeros(self.shape, np.float32)
        inner = faded[:n_y, :n_x]
        np.subtract(image, image.mean(dtype=np.float64).astype(np.float32), out=inner)
        inner *= _fade(n_y, self._search.taper)[:, None]
        inner *= _fade(n_x, self._search.taper)
        along_x = fft.rfft(faded, axis=1, overwrite_x=True)[:, : self._w_x.size]
        result: Spectrum = fft.fft(along_x, axis=0)[self._rows]
        return result

    def moved_back(self, spectrum: Spectrum, shift: Sequence[float]) -> Spectrum:
        """Return the spectrum of an image as if its scene did not lie at ``shift``, but at 0."""
        wave_y, wave_x = np.exp(self._w_y * shift[0]), np.exp(self._w_x * shift[1])
        result: Spectrum = spectrum * wave_y[:, None]
        result *= wave_x
        return result

    def peak(
        self, cross: Spectrum, around: tuple[float, float] = (0.0, 0.0)
    ) -> tuple[float, float] | None:
        """Return where the correlation of a cross spectrum is highest (dy, dx) [px].

        Parameters
        ----------
        cross : ndarray of complex
            Spectrum of the frame times the conjugate one of its reference.
        around : tuple of float
            Looked for within ``max_jump`` of that [px].

        Returns
        -------
        tuple of float, or None
            None where nothing correlates.
        """
        cross = cross * self.gain
        if not np.isfinite(cross).all() or not np.abs(cross).max() > 0:
            return None
        return self.climb(cross, self._coarse(cross, around))

    def climb(self, cross: Spectrum, at: Sequence[float]) -> tuple[float, float]:
        """Return the summit near a point, of a cross spectrum times the gain."""
        point = np.array(at, dtype=np.float64)
        for _ in range(8):
            gradient, curvature = self._slopes(cross, point)
            if curvature[0, 0] >= 0 or np.linalg.det(curvature) <= 0:  # not yet on the summit
                step = gradient / max(float(np.abs(gradient).max()), 1e-30) * 0.5
            else:
                step = -np.asarray(np.linalg.solve(curvature, gradient), dtype=np.float64)
            point = point + np.clip(step, -1, 1)
            if np.abs(step).max() < 0.02:  # Newton's next one would be some 1e-4
                break
        return float(point[0]), float(point[1])

    def agreement(self, one: Spectrum, other: Spectrum) -> float:
        """Return the correlation of two aligned images, over the spread it has for mere noise.

        Of noise alone, the best of all shifts has some 4 to 6.
        """
        cross = self.gain * one * np.conj(other)
        spread = np.sum(self._share * (cross.real**2 + cross.imag**2), dtype=np.float64)
        return float(np.sum(cross.real, dtype=np.float64) / max(np.sqrt(spread), 1e-30))

    def _coarse(self, cross: Spectrum, around: tuple[float, float]) -> tuple[float, float]:
        """Return the highest sample of the correlation on a grid of about a pixel and a half."""
        padded = np.zeros((self._m_y, self._m_x // 2 + 1), dtype=np.complex64)
        padded[self._rows_coarse, : self._w_x.size] = cross
        padded[:, 1:] *= 0.5
        surface = fft.irfft(fft.ifft(padded, axis=0), n=self._m_x, axis=1)
        n_y, n_x = self.shape
        # the correlation goes round: a shift by the frame's length is none
        far_y = np.abs((self._dy - around[0] + n_y / 2) % n_y - n_y / 2)
        far_x = np.abs((self._dx - around[1] + n_x / 2) % n_x - n_x / 2)
        surface[far_y > self._search.max_jump * n_y] = -np.inf
        surface[:, far_x > self._search.max_jump * n_x] = -np.inf
        row, column = np.unravel_index(int(np.argmax(surface)), surface.shape)
        return float(self._dy[row]), float(self._dx[column])

    def _slopes(self, cross: Spectrum, at: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return gradient and curvature of the correlation at a shift."""
        moved = cross * np.exp(self._w_x * at[1])
        # sums, not matrix products: BLAS would start threads for next to nothing
        rows = np.stack([np.sum(moved * w, axis=1) for w in self._powers_x])
        wave_y = np.exp(self._w_y * at[0])
        powers_y = [wave_y, wave_y * self._w_y, wave_y * self._w_y**2]
        table = np.stack([np.sum(rows * p, axis=1).real for p in powers_y]).astype(np.float64)
        gradient = np.array([table[1, 0], table[0, 1]])
        curvature = np.array([[table[2, 0], table[1, 1]], [table[1, 1], table[0, 2]]])
        return gradient, curvature


@lru_cache(maxsize=4)
def band_of(shape: tuple[int, int], search: DriftSearch) -> Band:
    """Return the band of frames of that shape, made once."""
    return Band(shape, search)


def _overlap(image: NDArray[np.float32], shift: tuple[int, int]) -> NDArray[np.float32]:
    """Cut out what the other image sees as well.

    Of a frame whose scene lies at ``shift``, the rows and columns from there on; of its reference,
    the same with the shift's sign turned. Between the two, only the rest of the shift remains.
    """
    n_y, n_x = image.shape
    dy = int(np.clip(shift[0], 8 - n_y, n_y - 8))  # a few pixels are always left
    dx = int(np.clip(shift[1], 8 - n_x, n_x - 8))
    return image[max(0, dy) : n_y + min(0, dy), max(0, dx) : n_x + min(0, dx)]


def filled(image: Image) -> NDArray[np.float32]:
    """Return the image as float32, its unseen pixels at the mean of the others."""
    values = np.array(image, dtype=np.float32)
    seen = np.isfinite(values)
    if not seen.all():
        values[~seen] = values[seen].mean() if seen.any() else 0.0
    return values


@lru_cache(maxsize=32)
def _fade(n: int, taper: float) -> NDArray[np.float32]:
    """Return a window of length n that rises from and falls to 0 over its ends as a cosine."""
    width = max(1, round(taper * n))
    rise = 0.5 - 0.5 * np.cos(np.pi * (np.arange(width) + 0.5) / width)
    window = np.ones(n, dtype=np.float32)
    window[:width] *= rise.astype(np.float32)
    window[n - width :] *= rise[::-1].astype(np.float32)
    window.flags.writeable = False
    return window
