"""How a filter is trained: the paper's recipe, and the standard one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from stemscale.denoise.scaling import Normalisation
from stemscale.denoise.unet import UNetSettings
from stemscale.errors import SettingsError


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Network, patches, loss and schedule of a training.

    Defaults are those of Ihara 2022 (row F3). No field can flip x or turn a patch by 90°: the
    smear has a direction, and a filter that saw it both ways removes it half.
    """

    network: UNetSettings = field(default_factory=UNetSettings)
    normalisation: Normalisation = "frame_min_max"
    patch_px: int = 64
    batch: int = 16  # patches a step; the paper does not give it
    loss: Literal["mse"] = "mse"
    rate: float = 1e-3  # of Adam
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: float = 0.0  # share of the training in which the rate rises to its value
    epochs: int = 100
    validation_share: float = 0.2  # of the FOVs
    background_px: float | None = None  # see training_set.match_target; None: target as it is
    average_decay: float | None = None  # EMA of the weights, a step; None: the last weights
    flip_y: bool = False
    gain_jitter: float = 0.0  # std of ln(gain) of a patch, about the series' centre
    offset_jitter: float = 0.0  # std of a patch's offset, in spreads of the series

    def __post_init__(self) -> None:
        """Refuse what makes no training."""
        if self.network.frames_in != 1:
            raise SettingsError(
                f"recipe asks for {self.network.frames_in} frames in: training and inference "
                "take one frame at a time so far, set frames_in to 1"
            )
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


PRESETS: Mapping[str, Recipe] = MappingProxyType(
    {
        "paper": Recipe(),
        "standard": Recipe(
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
            flip_y=True,
            gain_jitter=0.1,
            offset_jitter=0.1,
        ),
    }
)
"""Recipes by name: ``paper`` is row F3, ``standard`` the one to use."""


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
    """
    if name not in PRESETS:
        raise SettingsError(f'there is no preset "{name}": take one of {", ".join(PRESETS)}')
    return PRESETS[name]
