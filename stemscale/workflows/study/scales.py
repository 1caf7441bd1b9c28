"""How large a study is: as in the paper, or small enough for two cores."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """Numbers of a study.

    Attributes
    ----------
    name : str
    size : int
        Pixels of a frame along x and along y.
    fovs, frames : int
        Of the multi-FOV set (row D4); a quarter of the FOVs is held out.
    single_frames : int
        Frames of the single FOV (row D5).
    single_taught : tuple of int
        Of them, those that single-FOV filters are trained on (row F4).
    heated : tuple of (float, float)
        Temperature ranges of the in-situ series (row D6) [°C].
    heated_frames : int
        Frames of each series.
    ramp_degc_per_s : float
        Rate of heating [°C/s]: shorter series are heated faster, so that they cover their range.
    width : int or None
        Channels of the finest level of the paper's network; None: as in the paper.
    paper_epochs, single_epochs, own_epochs : int or None
        Epochs of the paper's filters, of the single-FOV ones and of our own; None: the recipe's.
    single_rate : float or None
        Learning rate of single-FOV filters; None: the paper's, which need the paper's epochs.
    """

    name: str
    size: int
    fovs: int
    frames: int
    single_frames: int
    single_taught: tuple[int, ...]
    heated: tuple[tuple[float, float], ...]
    heated_frames: int
    ramp_degc_per_s: float
    width: int | None
    paper_epochs: int | None
    single_epochs: int | None
    own_epochs: int | None
    single_rate: float | None


_ENDS = (30.0, 90.0, 150.0, 210.0, 270.0, 330.0, 400.0)  # where the first starts is not told
_HEATED = tuple(pairwise(_ENDS))

SCALES: Mapping[str, Scale] = MappingProxyType(
    {
        "small": Scale(
            name="small",
            size=256,
            fovs=12,
            frames=20,
            single_frames=2500,
            single_taught=(100, 500, 1000, 2500),
            heated=_HEATED,
            heated_frames=120,
            ramp_degc_per_s=15.0,
            width=16,
            paper_epochs=30,
            single_epochs=4,
            own_epochs=30,
            single_rate=1e-3,
        ),
        "paper": Scale(
            name="paper",
            size=512,
            fovs=66,
            frames=50,
            single_frames=2500,
            single_taught=(100, 500, 1000, 2500),
            heated=_HEATED,
            heated_frames=2000,
            ramp_degc_per_s=1.0,
            width=None,
            paper_epochs=None,
            single_epochs=None,
            own_epochs=None,
            single_rate=None,
        ),
    }
)
"""``paper``: 66 FOVs × 50 frames, 2,500 frames of one FOV, six series of 2,000 (rows D4-D6)."""
