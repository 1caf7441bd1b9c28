"""How a filter is trained: the paper's recipes, and the standard one."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from stemscale.denoising.scaling import Normalisation
from stemscale.denoising.unet import UNetSettings
from stemscale.errors import SettingsError


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Network, patches, loss and schedule of a training.

    Defaults are those of Ihara 2022 (row F3). No field can flip x or turn a patch by 90°: the
    smear has a direction, and a filter that saw it both ways removes it half.

    Examples
    --------
    The paper's, but for fewer epochs; what makes no training is refused at once:

    >>> from dataclasses import replace
    >>> from stemscale.denoising import Recipe
    >>> quick = Recipe(epochs=10)
    >>> quick.network.width, quick.patch_px, quick.rate
    (64, 64, 0.001)
    >>> replace(quick, patch_px=0)
    Traceback (most recent call last):
    stemscale.errors.SettingsError: recipe has patches of 0 px, 16 a step, 10 epochs, ...
    """

    network: UNetSettings = field(default_factory=UNetSettings)
    normalisation: Normalisation = "frame_min_max"
    frames: int | None = None  # of each FOV, the first ones; None: all (row F4 names the number)
    patch_px: int = 64
    batch: int = 16  # patches a step; the paper does not give it
    loss: Literal["mse"] = "mse"
    rate: float = 1e-3  # of Adam
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: float = 0.0  # share of the training in which the rate rises to its value
    epochs: int = 100
    validation_share: float = 0.2  # of the FOVs
    background_px: float | None = None  # see target.match_target; None: target as it is
    average_decay: float | None = None  # EMA of the weights, a step; None: the last weights
    patience: int | None = None  # validations without a better one after which it ends; None: never
    flip_y: bool = False
    gain_jitter: float = 0.0  # std of ln(gain) of a patch, about the series' centre
    offset_jitter: float = 0.0  # std of a patch's offset, in spreads of the series
    dose_jitter: float = 0.0  # std of ln(dose), where a FOV has two frames or more
    lag_jitter: float = 0.0  # std of the share of the signal that comes later still
    motion_px: float = 0.0  # std of what a neighbouring frame has moved, a frame [px]

    def __post_init__(self) -> None:
        """Refuse what makes no training."""
        if min(self.patch_px, self.batch, self.epochs) < 1 or not self.rate > 0:
            raise SettingsError(
                f"recipe has patches of {self.patch_px} px, {self.batch} a step, {self.epochs} "
                f"epochs, rate {self.rate:g}: all must be above 0"
            )
        if not (0 < self.validation_share < 1 and 0 <= self.warmup < 1):
            raise SettingsError(
                f"recipe has a validation share of {self.validation_share:g} and a warm-up of "
                f"{self.warmup:g}: both are shares, below 1"
            )
        if self.average_decay is not None and not 0 < self.average_decay < 1:
            raise SettingsError(
                f"recipe averages weights with decay {self.average_decay:g}: needed is 0 … 1"
            )
        for name in ("frames", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingsError(f"recipe has {name} {value}: needed is 1 or more")
        jitters = ("gain_jitter", "offset_jitter", "dose_jitter", "lag_jitter", "motion_px")
        for name in jitters:
            if not getattr(self, name) >= 0:
                raise SettingsError(f"recipe has {name} {getattr(self, name):g}: needed is 0 or up")


_PAPER = Recipe()
_STANDARD = Recipe(
    network=UNetSettings(width=16, depth=2, stem=2, residual=True),
    normalisation="series",
    patch_px=64,
    batch=8,
    rate=4e-3,
    schedule="cosine",
    warmup=0.03,
    epochs=30,
    background_px=20.0,
    average_decay=0.995,
    patience=10,
    flip_y=True,
    gain_jitter=0.1,
    offset_jitter=0.1,
)
# Half the operations of the standard network. A stem of 4 px would be quicker still, and loses
# 2 dB: what is to be told apart is as fine as the pixels.
_LIVE = UNetSettings(
    width=16,
    depth=3,
    stem=2,
    residual=True,
    down_convolutions=1,
    lowest_convolutions=1,
    up_convolutions=1,
    skip="add",
)

PRESETS: Mapping[str, Recipe] = MappingProxyType(
    {
        "standard": _STANDARD,
        "live": replace(_STANDARD, network=_LIVE),
        "paper": _PAPER,
        "dlf-100": replace(_PAPER, frames=100, rate=1e-5),
        "dlf-500": replace(_PAPER, frames=500, rate=1e-5),
        "dlf-1000": replace(_PAPER, frames=1000, rate=1e-5),
        "dlf-2500": replace(_PAPER, frames=2500, rate=5e-6),
    }
)
"""Recipes by name: ``standard`` is the one to use, ``live`` where the microscope does not wait,
``paper`` row F3, ``dlf-N`` the single-FOV filters of row F4, to be used with one ``--fov``."""


def find_recipe(name: str) -> Recipe:
    """Look a preset up.

    Parameters
    ----------
    name : str

    Returns
    -------
    Recipe

    Raises
    ------
    SettingsError
        If there is no preset of that name.

    Examples
    --------
    >>> from stemscale.denoising import find_recipe
    >>> find_recipe("dlf-500").frames, find_recipe("dlf-500").rate
    (500, 1e-05)
    >>> find_recipe("standard").network.residual
    True
    """
    if name not in PRESETS:
        raise SettingsError(f'there is no preset "{name}": take one of {", ".join(PRESETS)}')
    return PRESETS[name]
