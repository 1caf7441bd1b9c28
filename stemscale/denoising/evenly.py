"""Some of many frames, evenly spread over a series."""


def evenly(n: int, at_most: int) -> list[int]:
    """Pick some of n frames.

    Parameters
    ----------
    n : int
        Frames there are.
    at_most : int
        Frames to pick.

    Returns
    -------
    list of int
        Their numbers, rising; all of them where there are no more than that.
    """
    return sorted({i * n // at_most for i in range(at_most)}) if n else []
