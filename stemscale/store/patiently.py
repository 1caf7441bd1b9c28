"""A store is opened again where it was just being made longer."""

import time
import warnings
from collections.abc import Callable
from typing import TypeVar

_TRIES, _AGAIN_S = 20, 0.01

Opened = TypeVar("Opened")


def opened_patiently(make: Callable[[], Opened], *, give_up: Callable[[], bool]) -> Opened:
    """Open a group, or all of them, and again if sizes are at odds.

    Parameters
    ----------
    make : callable
        Opens it. It raises ValueError where sizes are at odds, as they are for a moment where
        a series grows.
    give_up : callable
        Asked after that: whether it cannot be of growing.

    Returns
    -------
    object
        What ``make`` gave.

    Raises
    ------
    ValueError
        That of ``make``, after 20 tries or when given up.
    """
    tries = 0
    while True:
        try:
            with warnings.catch_warnings():
                # a zarr.json that is just being replaced
                warnings.filterwarnings("ignore", r"Object at \..*\.tmp is not recognized")
                return make()
        except ValueError:
            tries += 1
            if tries == _TRIES or give_up():
                raise
            time.sleep(_AGAIN_S)
