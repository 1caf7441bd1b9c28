"""Frames/s, from when blocks were recorded: one definition for all that show it."""

from collections.abc import Sequence

LATELY_S = 60.0
AT_LEAST = 10  # blocks, where each takes longer than that


def recent_rate(commits: Sequence[tuple[float, int]], now: float) -> float | None:
    """Measure the rate of the last minute, and of the last ten blocks at least.

    Parameters
    ----------
    commits : sequence of (float, int)
        When each block was recorded [s], and its frames; in order of time.
    now : float
        [s].

    Returns
    -------
    float or None
        [frames/s] since the first of these blocks was recorded, without its own frames; None where
        there are less than two.

    Examples
    --------
    Blocks of 8 frames, one every 2 s; the first one only says when the others began:

    >>> from stemscale.dashboard import recent_rate
    >>> recent_rate([(0.0, 8), (2.0, 8), (4.0, 8)], now=4.0)
    4.0
    """
    first = first_lately([t for t, _ in commits], now)
    if len(commits) - first < 2:
        return None
    frames = sum(n for _, n in commits[first + 1 :])
    return frames / max(now - commits[first][0], 1e-3)


def first_lately(times: Sequence[float], now: float) -> int:
    """Give the number of the first block that counts as lately recorded."""
    old = sum(1 for t in times if now - t >= LATELY_S)
    return min(old, max(0, len(times) - AT_LEAST))
