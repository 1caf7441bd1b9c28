"""Find out while training whether several threads are quicker than one."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_PERIOD = 300  # steps; what else runs on a machine changes
_TRIAL = 3  # steps of a period with each number of threads; the first of them warms up


class ThreadTrial:
    """Times some steps with all threads and with one, and goes on with the quicker.

    torch's threads wait for each other at every layer. On two idle cores two of them are 1.6 times
    as quick as one; beside other work they are up to ten times slower (measured: 134-434 ms a
    step against 27-34 ms with one thread), as whoever waits, waits for the scheduler.

    Parameters
    ----------
    most : int
        Threads of torch that may be used. With 1 there is nothing to try.
    """

    def __init__(self, most: int) -> None:
        self._candidates = (most, 1) if most > 1 else (1,)
        self._seconds = [0.0] * len(self._candidates)
        self._step = 0

    @contextmanager
    def step(self) -> Iterator[None]:
        """Run one step of the training inside; sets torch's threads."""
        place = self._step % _PERIOD
        tried, at = divmod(place, _TRIAL)
        on_trial = len(self._candidates) > 1 and tried < len(self._candidates)
        if on_trial and at == 0:
            torch.set_num_threads(self._candidates[tried])
            self._seconds[tried] = 0.0
        start = time.perf_counter()
        yield
        if on_trial and at > 0:
            self._seconds[tried] += time.perf_counter() - start
        self._step += 1
        if on_trial and place + 1 == _TRIAL * len(self._candidates):
            torch.set_num_threads(self._candidates[self._seconds.index(min(self._seconds))])
