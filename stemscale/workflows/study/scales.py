"""How large a study is: as in the paper, or small enough for two cores."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

_ENDS = (30.0, 90.0, 150.0, 210.0, 270.0, 330.0, 400.0)  # where the first starts is not told


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """Numbers of a study; the defaults are the paper's (rows D4 to D6, F4).

    Attributes
    ----------
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
    paper_epochs, own_epochs : int or None
        Epochs of the paper's filters and of our own; None: the recipe's.
    single_epochs : tuple of int or None
        Epochs of each single-FOV filter; None: the recipe's.
    single_rate : float or None
        Learning rate of single-FOV filters; None: the paper's, which need the paper's epochs.
    """

    size: int = 512
    fovs: int = 66
    frames: int = 50
    single_frames: int = 2500
    single_taught: tuple[int, ...] = (100, 500, 1000, 2500)
    heated: tuple[tuple[float, float], ...] = tuple(pairwise(_ENDS))
    heated_frames: int = 2000
    ramp_degc_per_s: float = 1.0
    width: int | None = None
    paper_epochs: int | None = None
    own_epochs: int | None = None
    single_epochs: tuple[int, ...] | None = None
    single_rate: float | None = None


SCALES: Mapping[str, Scale] = MappingProxyType(
    {
        "small": Scale(
            size=256,
            fovs=24,
            frames=16,
            heated_frames=100,
            ramp_degc_per_s=60.0,
            width=16,
            paper_epochs=10,
            own_epochs=8,
            single_epochs=(25, 5, 2, 1),  # about as many steps each
            single_rate=1e-3,
        ),
        "paper": Scale(),
    }
)
