"""Where things lie in a store, and how frames are cut into blocks."""

import math

FORMAT = "1"
CONVENTIONS = "CF-1.11"
SUMMARY = "summary"

_BLOCK_BYTES = 32 * 2**20  # of the frames as float32, which is how they are worked on


def rapid_group(fov: str) -> str:
    """Path of the group that holds the rapid frames of a FOV."""
    return f"{fov}/rapid"


def slow_group(fov: str) -> str:
    """Path of the group that holds the slow scan of a FOV."""
    return f"{fov}/slow"


def calibration_group(fov: str) -> str:
    """Path of the group that holds the distortion map of a FOV."""
    return f"{fov}/calibration"


def filtered_group(fov: str, name: str) -> str:
    """Path of the group that holds the frames of a FOV after one filter."""
    return f"{fov}/filtered/{name}"


def frames_per_block(n_frames: int, n_y: int, n_x: int) -> int:
    """Choose how many frames one block has: one block is one shard, one task, one record.

    Parameters
    ----------
    n_frames : int
        Frames in the series.
    n_y, n_x : int
        Pixels of a frame.

    Returns
    -------
    int
        The power of two that brings a block closest to 32 MiB of float32 (32 frames at
        512 x 512), at most the next power of two at or above ``n_frames``.

    Examples
    --------
    >>> from stemscale.store import frames_per_block
    >>> frames_per_block(2000, 512, 512)  # 32 MiB as float32
    32
    >>> frames_per_block(5, 512, 512)  # a short series
    8
    """
    wanted: int = 2 ** max(0, round(math.log2(_BLOCK_BYTES / (n_y * n_x * 4))))
    return min(wanted, 1 << max(0, n_frames - 1).bit_length())


def block_count(n_frames: int, block: int) -> int:
    """Count the blocks of a series; the last one may be ragged.

    Examples
    --------
    >>> from stemscale.store import block_bounds, block_count
    >>> block_count(70, 32), block_bounds(2, 70, 32)
    (3, (64, 70))
    """
    return -(-n_frames // block)


def block_bounds(index: int, n_frames: int, block: int) -> tuple[int, int]:
    """First frame of a block, and the first one after it."""
    return index * block, min((index + 1) * block, n_frames)
