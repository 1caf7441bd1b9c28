"""The U-net: the paper's own arrangement, and a quick one that works on folded pixels."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from stemscale.errors import SettingsError


@dataclass(frozen=True, kw_only=True, slots=True)
class UNetSettings:
    """How a U-net is built.

    Defaults are those of Ronneberger 2015, the network of Ihara 2022 (row F1).

    Examples
    --------
    The paper's network halves a frame four times, and sees as far as 108 px; that of ``live``
    reaches little more than half as far:

    >>> from stemscale.denoising import UNetSettings, find_recipe
    >>> UNetSettings().multiple_px, UNetSettings().halo_px
    (16, 108)
    >>> live = find_recipe("live").network
    >>> live.multiple_px, live.halo_px
    (16, 60)
    """

    frames_in: int = 1  # consecutive frames seen at once, odd; the middle one is filtered
    width: int = 64  # channels of the finest level; doubled at every level below
    depth: int = 4  # number of poolings
    stem: int = 1  # pixels folded into channels before the first level, along y and x: 1, 2, 4
    residual: bool = False  # the network answers what to add to the mean of its frames
    down_convolutions: int = 2  # of a level on the way down, of 3x3 pixels
    lowest_convolutions: int = 2
    up_convolutions: int = 2
    skip: Literal["concat", "add"] = "concat"  # how a level's features reach the way up

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        if self.frames_in < 1 or self.frames_in % 2 == 0:
            raise SettingsError(f"frames_in is {self.frames_in}: needed is an odd number from 1")
        if self.width < 1 or self.depth < 0:
            raise SettingsError(
                f"a U-net of width {self.width} and depth {self.depth} cannot be built: "
                "width starts at 1 channel, depth at 0 poolings"
            )
        if self.stem not in (1, 2, 4):
            raise SettingsError(f"stem is {self.stem} px: needed is 1, 2 or 4")
        for name in ("down_convolutions", "lowest_convolutions", "up_convolutions"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}: needed is 1 or more")
        if self.skip not in ("concat", "add"):
            raise SettingsError(f"skip is {self.skip!r}: needed is concat or add")

    @property
    def multiple_px(self) -> int:
        """Height and width of a frame must be multiples of this; the network pads to it [px]."""
        return self.stem << self.depth

    @property
    def halo_px(self) -> int:
        """How far from a pixel the input can still change it, at most [px].

        At level l a 3x3 convolution reaches 2^l px: those of every level but the lowest are passed
        down and up. The pooling grid adds less than one pixel of the lowest level.
        """
        lowest = 1 << self.depth
        above = (self.down_convolutions + self.up_convolutions) * (lowest - 1)
        return self.stem * (above + self.lowest_convolutions * lowest + lowest)


class Convolutions(nn.Sequential):
    """3x3 convolutions, each followed by a ReLU; the size stays (padding "same")."""

    def __init__(self, channels_in: int, channels_out: int, count: int) -> None:
        layers: list[nn.Module] = []
        for channels in (channels_in, *(channels_out,) * (count - 1)):
            layers += [nn.Conv2d(channels, channels_out, 3, padding=1), nn.ReLU(inplace=True)]
        super().__init__(*layers)


class UNet(nn.Module):
    """U-net from one or several frames to one frame.

    Frames of any size go in: they are padded to a multiple of ``settings.multiple_px`` by
    reflection and cut back. There is no normalisation layer, so a frame's result does not depend
    on the others in its batch.

    Notes
    -----
    Source: Ronneberger 2015 (two 3x3 convolutions a level, 2x2 max-pooling, 2x2 transposed
    convolution, skip by concatenation), with padding so that the size stays. Fewer convolutions,
    and skips that are added, make it quicker.

    Examples
    --------
    Five frames of any size become one; a residual network begins with the mean of its frames:

    >>> import torch
    >>> from stemscale.denoising import UNet, UNetSettings
    >>> network = UNet(UNetSettings(frames_in=5, width=4, depth=2, residual=True))
    >>> frames = torch.arange(5.0).reshape(1, 5, 1, 1).expand(1, 5, 30, 50)
    >>> with torch.inference_mode():
    ...     filtered = network(frames)
    >>> tuple(filtered.shape), float(filtered.mean())
    ((1, 1, 30, 50), 2.0)
    """

    def __init__(self, settings: UNetSettings) -> None:
        super().__init__()
        self.settings = settings
        folded = settings.stem**2
        widths = [settings.width * 2**level for level in range(settings.depth + 1)]
        self.down = nn.ModuleList()
        channels = settings.frames_in * folded
        for level, width in enumerate(widths):
            lowest = level == settings.depth
            count = settings.lowest_convolutions if lowest else settings.down_convolutions
            self.down.append(Convolutions(channels, width, count))
            channels = width
        self.enlarge = nn.ModuleList()
        self.up = nn.ModuleList()
        for width in reversed(widths[:-1]):
            self.enlarge.append(nn.ConvTranspose2d(2 * width, width, 2, stride=2))
            joined = 2 * width if settings.skip == "concat" else width
            self.up.append(Convolutions(joined, width, settings.up_convolutions))
        self.head = nn.Conv2d(settings.width, folded, 1)
        self._start_weights()

    def _start_weights(self) -> None:
        if self.head.weight.is_meta:  # they are read from a file, and torch would load its compiler
            return
        # Ronneberger's start: without normalisation layers the signal must keep its variance.
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if self.settings.frames_in > 1:
            self._start_from_the_mean()
        if self.settings.residual:
            nn.init.zeros_(self.head.weight)  # training starts at "leave the frame as it is"

    def _start_from_the_mean(self) -> None:
        # Weights of their own for each frame would make the network learn first to average.
        first = self.down[0][0]  # type: ignore[index]
        with torch.no_grad():
            weight = first.weight.unflatten(1, (self.settings.frames_in, -1))
            # Kaiming saw frames_in times the inputs; each frame gives its share of the mean
            mean = weight[:, :1] / math.sqrt(self.settings.frames_in)
            first.weight.copy_(mean.expand_as(weight).flatten(1, 2))

    def forward(self, frames: Tensor) -> Tensor:
        """Filter frames.

        Parameters
        ----------
        frames : Tensor, shape (batch, frames_in, y, x)
            Normalised intensities, every pixel finite.

        Returns
        -------
        Tensor, shape (batch, 1, y, x)
            The middle frame, filtered.
        """
        height, width = frames.shape[-2:]
        padded = pad_to_multiple(frames, self.settings.multiple_px)
        return self.forward_padded(padded)[..., :height, :width]

    def forward_padded(self, frames: Tensor) -> Tensor:
        """Filter frames whose height and width are multiples of ``multiple_px`` already.

        Parameters
        ----------
        frames : Tensor, shape (batch, frames_in, y, x)

        Returns
        -------
        Tensor, shape (batch, 1, y, x)
        """
        stem = self.settings.stem
        # (batch, frames_in·stem², y/stem, x/stem)
        features = functional.pixel_unshuffle(frames, stem) if stem > 1 else frames
        skips = []
        for level, block in enumerate(self.down):
            if level > 0:
                features = functional.max_pool2d(features, 2)
            features = block(features)
            skips.append(features)
        skips.pop()
        for enlarge, block in zip(self.enlarge, self.up, strict=True):
            features = block(self._joined(skips.pop(), enlarge(features)))
        change: Tensor = self.head(features)  # (batch, stem², y/stem, x/stem)
        if stem > 1:
            # in the order of the pixels first: shuffled from channels_last, it takes twice the time
            change = functional.pixel_shuffle(change.contiguous(), stem)  # (batch, 1, y, x)
        if not self.settings.residual:
            return change
        mean = frames if frames.shape[1] == 1 else frames.mean(dim=1, keepdim=True)
        return mean + change

    def _joined(self, skipped: Tensor, enlarged: Tensor) -> Tensor:
        if self.settings.skip == "add":
            return enlarged.add_(skipped)  # in place: new memory costs more than the sum
        return torch.cat([skipped, enlarged], dim=1)


def pad_to_multiple(frames: Tensor, multiple_px: int) -> Tensor:
    """Enlarge frames at the bottom and at the right by reflection.

    Parameters
    ----------
    frames : Tensor, shape (batch, channel, y, x)
    multiple_px : int
        What height and width shall be multiples of [px].

    Returns
    -------
    Tensor, shape (batch, channel, y', x')
        y' and x' are the next multiples; the frames themselves when they fit already.
    """
    bottom = -frames.shape[-2] % multiple_px
    right = -frames.shape[-1] % multiple_px
    while bottom or right:  # a frame smaller than the padding is reflected several times
        step_y = min(bottom, frames.shape[-2] - 1)
        step_x = min(right, frames.shape[-1] - 1)
        if step_y + step_x == 0:  # a single row or column has nothing to reflect
            return functional.pad(frames, (0, right, 0, bottom), mode="replicate")
        frames = functional.pad(frames, (0, step_x, 0, step_y), mode="reflect")
        bottom, right = bottom - step_y, right - step_x
    return frames
