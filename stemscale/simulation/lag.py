"""The detector's delay: what an electron gives arrives partly in the pixels scanned after it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float64]
_MID_LEVEL = 0.5  # of the bright background: where the slow time constant holds as given
_LEVELS = (0.05, 4.0)  # of mid signal, and of what it keeps stored: beyond, tails change no more


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectorLag:
    """Two exponential tails, the slow one longer where the signal is stronger.

    Attributes
    ----------
    fast_ns, slow_ns : float
        Time constants; the slow one at half the bright background [ns].
    slow_share : float
        Share of the signal that takes the slow way.
    signal_power : float
        In a steady signal the slow time constant goes with this power of it.
    integrates : bool
        Whether the detector is read throughout the dwell time, or at its end.
    """

    fast_ns: float
    slow_ns: float
    slow_share: float
    signal_power: float
    integrates: bool

    def apply(self, signal: Image, before: Image, *, dwell_ns: float, bright: float) -> Image:
        """Delay a recorded signal along its lines.

        Parameters
        ----------
        signal : ndarray, shape (y, x)
            What reaches the detector in each pixel, noise included [electrons].
        before : ndarray, shape (y,)
            What reached it before each line: the tails start settled to this [electrons a pixel].
        dwell_ns : float
            [ns]
        bright : float
            Signal of the bright background [electrons a pixel].

        Returns
        -------
        ndarray, shape (y, x)
            What is read in each pixel [electrons].

        Notes
        -----
        The slow way is a store that empties at a rate which falls with its filling, so no single
        kernel undoes it. Nothing is lost: what has not come out at the end of a line does so in the
        flyback, which is long against both tails, so lines do not know each other.

        Read at the end of each dwell, a tail is the plain recursion from pixel to pixel. Read
        throughout, the signal also spreads within its own pixel: neighbours are then correlated
        more than any mixture of plain tails could, as real series show.
        """
        columns = np.ascontiguousarray(signal.T)  # the recursion takes all lines at once
        mid = _MID_LEVEL * bright
        fast = self._tail(columns, before, mid=mid, tau_px=self.fast_ns / dwell_ns, power=0.0)
        slow = self._tail(
            columns, before, mid=mid, tau_px=self.slow_ns / dwell_ns, power=self.signal_power
        )
        delayed: Image = ((1.0 - self.slow_share) * fast + self.slow_share * slow).T
        return delayed

    def _tail(
        self, columns: Image, before: Image, *, mid: float, tau_px: float, power: float
    ) -> Image:
        """Let a signal (x, y) out through a store, of ``tau_px`` where the signal is ``mid``."""
        late, keep = self._step(np.full(before.shape, tau_px))
        stored_at_mid = mid * late / (1.0 - keep)
        level = np.clip(before / mid, *_LEVELS)
        late, keep = self._step(tau_px * level**power)
        stored = before * late / (1.0 - keep)
        out = np.empty_like(columns)
        for x, column in enumerate(columns):
            if power:
                # A steady signal fills the store as signal**(1 + power), and tau is to go as
                # signal**power.
                filling = np.clip(stored / stored_at_mid, *_LEVELS)
                late, keep = self._step(tau_px * filling ** (power / (1.0 + power)))
            after = stored * keep + column * late
            out[x] = column + stored - after
            stored = after
        return out

    def _step(self, tau_px: Image) -> tuple[Image, Image]:
        """Give the shares of a pixel's signal, and of the store, that are stored a dwell later."""
        keep = np.exp(-1.0 / tau_px)
        return (tau_px * (1.0 - keep) if self.integrates else keep), keep
