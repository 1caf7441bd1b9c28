"""What happens during long work, as small events; progress bars and tests listen."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStarted:
    """A run of `process` begins.

    Attributes
    ----------
    frames : int
        Frames to make.
    blocks : int
        Tasks.
    workers : int
        Worker processes there are now.
    dashboard : str
        Address of the page that shows this run; empty where there is none.
    """

    frames: int
    blocks: int
    workers: int
    dashboard: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Ready:
    """Workers are ready for frames that are yet to come.

    Attributes
    ----------
    dashboard : str
        Address of the page that shows the run; empty where there is none.
    """

    dashboard: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockDone:
    """A block is on disk and recorded.

    Attributes
    ----------
    fov : str
        Field of view.
    block : int
        Number of the block.
    frames : int
        Frames in it.
    psnr : float or None
        Mean PSNR of its frames against the slow scan [dB].
    seconds : dict
        Time spent, by step [s].
    """

    fov: str
    block: int
    frames: int
    psnr: float | None
    seconds: dict[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockFailed:
    """A block failed; it is tried again, or given up.

    Attributes
    ----------
    fov : str
        Field of view.
    block : int
        Number of the block.
    frames : int
        Frames in it.
    reason : str
        What went wrong.
    given_up : bool
        Whether it will not be tried again in this run.
    """

    fov: str
    block: int
    frames: int
    reason: str
    given_up: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A run cannot go on for the moment.

    Attributes
    ----------
    reason : str
        What is missing.
    """

    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Following:
    """How a run keeps up with series that grow; once a second.

    Attributes
    ----------
    frames : int
        That there are by now.
    behind : int
        Of them, those that are not filtered yet.
    arriving_per_s, made_per_s : float
        Rates lately [frames/s].
    keeps_up : bool
        False while frames arrive faster than they are filtered, and have to wait for a second.
    latency_s : float or None
        Median of the last frames [s].
    """

    frames: int
    behind: int
    arriving_per_s: float
    made_per_s: float
    keeps_up: bool
    latency_s: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class FramesAligned:
    """Frames of a FOV are aligned.

    Attributes
    ----------
    fov : str
        Field of view.
    frames : int
        How many of them just now.
    done, total : int
        How many of how many.
    """

    fov: str
    frames: int
    done: int
    total: int


@dataclass(frozen=True, kw_only=True, slots=True)
class FramesCompacted:
    """Frames are written in a larger block.

    Attributes
    ----------
    fov : str
        Field of view.
    group : str
        Path of their group.
    frames : int
        How many of them just now.
    frames_in_all : int
        Of all series of that FOV that are compacted.
    """

    fov: str
    group: str
    frames: int
    frames_in_all: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoringStarted:
    """A run of `summarize` begins.

    Attributes
    ----------
    frames : int
        Frames to score, raw and filtered.
    """

    frames: int


@dataclass(frozen=True, kw_only=True, slots=True)
class FovDone:
    """A step that handles one FOV after the other is through with one.

    Attributes
    ----------
    fov : str
        Field of view.
    done, total : int
        How many of how many.
    """

    fov: str
    done: int
    total: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingStep:
    """How far a training has come.

    Attributes
    ----------
    progress : object
        `stemscale.denoising.TrainingProgress`.
    """

    progress: Any


Listener = Callable[[Any], None]


def no_listener(event: Any) -> None:
    """Listen to nothing."""
