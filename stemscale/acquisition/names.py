"""Names of fields of view, filters and files: which are plain, and in which order they come."""

import re

from stemscale.errors import SettingsError

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check_name(name: str, *, kind: str) -> str:
    """Accept a name that is safe as a Zarr group on every file system and object store.

    Parameters
    ----------
    name : str
        1 to 64 of the characters A-Z, a-z, 0-9, ``_`` and ``-``.
    kind : str
        What is named, for the error: "FOV" or "filter name".

    Returns
    -------
    str
        The name as given.

    Raises
    ------
    SettingsError
        If the name has other characters or another length.

    Examples
    --------
    >>> from stemscale.acquisition import check_name
    >>> check_name("fov_01", kind="FOV")
    'fov_01'
    >>> check_name("grain 1/2", kind="FOV")
    Traceback (most recent call last):
    stemscale.errors.SettingsError: FOV 'grain 1/2' cannot be used: take 1 to 64 of ...
    """
    if _PLAIN.fullmatch(name) is None or (kind == "FOV" and name == "summary"):
        raise SettingsError(
            f"{kind} {name!r} cannot be used: take 1 to 64 of the characters A-Z a-z 0-9 _ - "
            f"('summary' is reserved)"
        )
    return name


def natural_order(name: str) -> list[tuple[int, int | str]]:
    """Sort key that puts fov2 before fov10.

    Examples
    --------
    >>> from stemscale.store import natural_order
    >>> sorted(["fov10", "fov2", "fov1"], key=natural_order)
    ['fov1', 'fov2', 'fov10']
    """
    # isdecimal, as \d: of "10²", isdigit takes the second part for a number, which it is not.
    return [(0, int(p)) if p.isdecimal() else (1, p) for p in re.split(r"(\d+)", name) if p]
