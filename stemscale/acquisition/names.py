"""Names of fields of view and filters: they become folders, so they are kept plain."""

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
