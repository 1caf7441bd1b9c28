"""What a watch tells while it goes on."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class WatchProgress:
    """How far a watch has come.

    Attributes
    ----------
    fov : str
        The FOV that grows.
    frames : int
        Frames in the store.
    behind : int
        Frames that are whole and not in the store yet.
    waiting_for : str
        What has to happen before there are more.
    """

    fov: str
    frames: int
    behind: int
    waiting_for: str


@dataclass(frozen=True, kw_only=True, slots=True)
class WatchNotice:
    """Something that a user should know while a watch goes on.

    Attributes
    ----------
    fov : str
        The FOV that grows.
    text : str
        What it is.
    """

    fov: str
    text: str


WatchListener = Callable[[WatchProgress | WatchNotice], None]
