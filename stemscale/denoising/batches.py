"""How much a device takes at once: tried on the work itself, halved where memory ends."""

_MOST = 8  # a block has some 32 frames: the next batch is to be on its way while one is computed
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
    max_pixels : int or None
        What a frame, or a tile of one, may have, where memory ended.
    on_cpu : bool
        Whether not even the smallest tile found room on the device.
    trying : bool
        Whether it still wants to know how long frames take.
    """

    def __init__(self, fixed: int | None = None) -> None:
        self.now = fixed or 1
        self.max_pixels: int | None = None
        self.on_cpu = False
        self.trying = fixed is None
        self._best = 0.0

    def done(self, frames: int, seconds: float) -> None:
        """Tell how long some frames took.

        Parameters
        ----------
        frames : int
            Fewer than asked for, as at the end of a block, say nothing.
        seconds : float
        """
        if not self.trying or frames < self.now:
            return
        rate = frames / max(seconds, 1e-9)
        if rate < _WORTH * self._best:
            self.now //= 2
            self.trying = False
        elif self.now < _MOST:
            self._best = rate
            self.now *= 2
        else:
            self.trying = False

    def shrink(self, pixels: int, smallest: int) -> None:
        """Take less from now on, as memory ended: half the frames; of one, tiles of half the size.

        Parameters
        ----------
        pixels : int
            Of a frame, or of the tiles taken.
        smallest : int
            Pixels of the smallest tile: what finds no room for that goes to the CPU.
        """
        self.trying = False
        if self.now > 1:
            self.now //= 2
        elif pixels // 2 >= smallest:
            self.max_pixels = pixels // 2
        else:
            self.on_cpu = True
