"""How many frames a device takes at once: tried on the work itself, halved where memory ends."""

_MOST = 64
_WORTH = 1.05  # by which the next batch must be quicker to be kept


class BatchSize:
    """Frames of one size through one network on one device.

    A trial costs nothing: its frames are filtered like all others. It doubles the batch as long as
    that is quicker.

    Parameters
    ----------
    fixed : int, optional
        Given by the caller, who may know better: no trial.

    Attributes
    ----------
    now : int
        Frames to take next.
    """

    def __init__(self, fixed: int | None = None) -> None:
        self.now = fixed or 1
        self._trying = fixed is None
        self._best = 0.0

    def done(self, frames: int, seconds: float) -> None:
        """Tell how long some frames took.

        Parameters
        ----------
        frames : int
            Fewer than asked for, as at the end of a block, say nothing.
        seconds : float
        """
        if not self._trying or frames < self.now:
            return
        rate = frames / max(seconds, 1e-9)
        if rate < _WORTH * self._best:
            self.now //= 2
            self._trying = False
        elif self.now < _MOST:
            self._best = rate
            self.now *= 2
        else:
            self._trying = False

    def halve(self) -> bool:
        """Take half as many from now on, as memory ended; False where it is one frame already."""
        self._trying = False
        if self.now == 1:
            return False
        self.now //= 2
        return True
