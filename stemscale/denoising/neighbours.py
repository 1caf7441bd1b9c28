"""Which frames a filter of several frames sees beside the one that it filters."""


def neighbours(index: int, frames_in: int, n_frames: int) -> list[int]:
    """List the frames around one, itself in the middle.

    Parameters
    ----------
    index : int
        Of the frame.
    frames_in : int
        Frames in all, odd.
    n_frames : int
        Frames of the series.

    Returns
    -------
    list of int
        Ascending in time; beyond its ends the series is mirrored about its first and its last
        frame, which are not repeated (unless there is but one).

    Examples
    --------
    >>> from stemscale.denoising.neighbours import neighbours
    >>> neighbours(1, 5, 10)
    [1, 0, 1, 2, 3]
    """
    half = frames_in // 2
    return [mirrored(i, n_frames) for i in range(index - half, index + half + 1)]


def mirrored(index: int, n_frames: int) -> int:
    """Fold a frame number beyond the ends of a series back into it."""
    if n_frames == 1:
        return 0
    period = 2 * (n_frames - 1)
    place = index % period
    return min(place, period - place)
