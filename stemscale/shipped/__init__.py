"""A name comes in; the file of the filter of that name, which comes with the package, goes out."""

from importlib.resources import as_file, files
from pathlib import Path

from stemscale.errors import FilterError

SHIPPED: dict[str, str] = {
    "standard": "trained on simulated microscopes of many settings; comes with the package",
    "live": "the same, and quicker: for series that are recorded meanwhile",
}
"""What each is, by name."""


def find_filter(named: str | Path, *, must_be: bool = True) -> Path:
    """Give the file of a filter.

    Parameters
    ----------
    named : str or Path
        A name of `SHIPPED`, or a file, which is given back as it is.
    must_be : bool
        Whether a shipped one has to be there.

    Returns
    -------
    Path

    Raises
    ------
    FilterError
        If the package came without the file.

    Examples
    --------
    >>> from stemscale.shipped import find_filter
    >>> find_filter("live").is_file(), str(find_filter("my.safetensors"))
    (True, 'my.safetensors')
    """
    if str(named) not in SHIPPED:
        return Path(named)
    with as_file(files("stemscale.shipped").joinpath(f"{named}.safetensors")) as file:
        if must_be and not file.is_file():
            raise FilterError(f"{file} is missing: install stemscale again")
        return file
