"""How long each step of a block takes."""

import time


class Clock:
    """Seconds by step; a step within a step counts for the inner one only."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._stack: list[tuple[str, float]] = []

    def __call__(self, step: str) -> "Clock":
        """Begin a step, as the context that it lasts for."""
        self._switch()
        self._stack.append((step, time.perf_counter()))
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._switch()
        self._stack.pop()
        if self._stack:
            self._stack[-1] = (self._stack[-1][0], time.perf_counter())

    def _switch(self) -> None:
        if self._stack:
            step, since = self._stack[-1]
            now = time.perf_counter()
            self.seconds[step] = self.seconds.get(step, 0.0) + now - since
            self._stack[-1] = (step, now)
