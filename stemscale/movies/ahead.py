"""Read the next piece while the last one is worked on."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Wish = TypeVar("Wish")
Piece = TypeVar("Piece")


def read_ahead(wishes: Iterable[Wish], read: Callable[[Wish], Piece]) -> Iterator[Piece]:
    """Read pieces in order, each in a thread while the one before is in use.

    Parameters
    ----------
    wishes : iterable
        What to read.
    read : callable
        Reads one piece; called in one thread only.

    Yields
    ------
    object
        The pieces; two are in memory at a time, however many there are.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="movie") as pool:
        coming = None
        for wish in wishes:
            ready, coming = coming, pool.submit(read, wish)
            if ready is not None:
                yield ready.result()
                del ready
        if coming is not None:
            yield coming.result()
