"""A scale bar of a round length."""

import math
from dataclasses import dataclass

_WIDEST_BAR = 0.3  # of the image


@dataclass(frozen=True, kw_only=True, slots=True)
class ScaleBar:
    """A bar over a picture."""

    percent: float  # of the width of the picture
    label: str


def scale_bar(view_nm: float) -> ScaleBar:
    """Choose the longest bar of 1, 2 or 5 × 10ⁿ nm that takes at most 30 % of a view.

    Parameters
    ----------
    view_nm : float
        Width of the view [nm].

    Returns
    -------
    ScaleBar
        Labelled in nm below 1000 nm, else in µm.
    """
    longest = _WIDEST_BAR * view_nm
    power = 10.0 ** math.floor(math.log10(longest))
    # a hair of slack: 0.3 * 10/3 must still count as 1
    length = max(f * power for f in (1, 2, 5) if f * power <= longest * (1 + 1e-9))
    label = f"{length:g} nm" if length < 1000 else f"{length / 1000:g} µm"
    return ScaleBar(percent=100 * length / view_nm, label=label)
