"""What is made once in a worker process, for all of its threads."""

import threading
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar

T = TypeVar("T")


def once(most: int) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Keep what a function made last; threads that ask for it meanwhile wait.

    Parameters
    ----------
    most : int
        Results that are kept.

    Returns
    -------
    callable
        Decorates a function of hashable arguments.
    """

    def decorate(function: Callable[..., T]) -> Callable[..., T]:
        cached = lru_cache(maxsize=most)(function)
        lock = threading.Lock()

        @wraps(function)
        def locked(*args: Any) -> T:
            with lock:
                return cached(*args)

        return locked

    return decorate
