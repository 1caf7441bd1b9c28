"""Ways to gather the pixels of frames, each the fastest for one kind of map."""

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch.nn.functional import embedding_bag, grid_sample

from stemscale.distortion.distortion_map import DistortionMap
from stemscale.distortion.interpolation import Interpolation, Taps, taps

# Pixels at a time, so that they and their taps stay in the cache.
_STRIP_PX = 65_536
_TILE = (32, 64)


class Gather(ABC):
    """Mixes pixels of frames (frame, y, x) into ``out`` (frame, n_y, n_x), float32 both."""

    at_once = 1  # frame: one by one, they stay in the cache

    @abstractmethod
    def __call__(self, frames: torch.Tensor, out: torch.Tensor) -> None:
        """Mix; sources outside a frame give its border."""


class GatherLines(Gather):
    """All rows distorted alike: rows are mixed, then whole columns."""

    def __init__(self, distortion: DistortionMap, interpolation: Interpolation) -> None:
        n_y, n_x = distortion.rapid_shape
        self._rows = taps(distortion.source_y[:, 0], n_y, interpolation)
        self._columns = _by_tap(taps(distortion.source_x[0], n_x, interpolation))

    def __call__(self, frames: torch.Tensor, out: torch.Tensor) -> None:
        """Mix rows, then columns."""
        index, weight = self._columns  # (tap, n_x)
        for frame, into in zip(frames, out, strict=True):
            rows = _mixed_lines(frame, self._rows)  # (n_y, rapid x)
            _mix_columns(rows, index, weight, into)


class GatherRowByRow(Gather):
    """Each row has columns of its own: rows are mixed, then columns pixel by pixel."""

    def __init__(self, distortion: DistortionMap, interpolation: Interpolation) -> None:
        n_y, n_x = distortion.rapid_shape
        self._rows = taps(distortion.source_y[:, 0], n_y, interpolation)
        self._columns = _by_tap(taps(distortion.source_x, n_x, interpolation))

    def __call__(self, frames: torch.Tensor, out: torch.Tensor) -> None:
        """Mix rows, then columns a strip at a time."""
        index, weight = self._columns  # (tap, n_y, n_x)
        n_y, n_x = out.shape[1:]
        strip = max(1, _STRIP_PX // n_x)
        for frame, into in zip(frames, out, strict=True):
            rows = _mixed_lines(frame, self._rows)  # (n_y, rapid x)
            for top in range(0, n_y, strip):
                part = slice(top, top + strip)
                _mix_columns(rows[part], index[:, part], weight[:, part], into[part])


class GatherSamples(Gather):
    """Any map, linear: torch's own sampling, as exact as float32 holds a position (1e-5 px)."""

    def __init__(self, distortion: DistortionMap) -> None:
        planes = np.broadcast_arrays(distortion.source_x, distortion.source_y)
        ends = [max(n - 1, 1) for n in distortion.rapid_shape[::-1]]
        grid = np.stack([2 * p / n - 1 for p, n in zip(planes, ends, strict=True)], axis=-1)
        self._grid = torch.from_numpy(grid[None].astype(np.float32))

    def __call__(self, frames: torch.Tensor, out: torch.Tensor) -> None:
        """Sample between the pixel centres, which are at -1 … 1."""
        grid = self._grid.expand(len(frames), -1, -1, -1)
        images = frames[:, None]  # (frame, channel, y, x)
        out.copy_(grid_sample(images, grid, padding_mode="border", align_corners=True)[:, 0])


class GatherPixels(Gather):
    """Any map: all taps of a pixel at once. Frames lie side by side, so one look-up serves all."""

    at_once = 16  # frames: 64 bytes, one line of the cache

    def __init__(self, distortion: DistortionMap, interpolation: Interpolation) -> None:
        n_y, n_x = distortion.rapid_shape
        index, weight = taps(distortion.source_y, n_y, interpolation)
        self._rows = (index * n_x).to(torch.int32), weight  # of a flat frame
        index, weight = taps(distortion.source_x, n_x, interpolation)
        self._columns = index.to(torch.int32), weight

    def __call__(self, frames: torch.Tensor, out: torch.Tensor) -> None:
        """Mix a tile of pixels at a time."""
        side_by_side = frames.flatten(1).t().contiguous()  # (pixel, frame)
        tile_y, tile_x = _TILE
        for top in range(0, out.shape[1], tile_y):
            for left in range(0, out.shape[2], tile_x):
                tile = slice(top, top + tile_y), slice(left, left + tile_x)
                mixed = _mixed_lines(side_by_side, self._of_pixels(tile))
                into = out[:, tile[0], tile[1]]
                into.copy_(mixed.t().reshape(into.shape))

    def _of_pixels(self, tile: tuple[slice, slice]) -> Taps:
        """Combine the taps along y and x of each pixel of a tile, (pixel, tap)."""
        (row, row_weight), (column, column_weight) = (
            (_cut(index, tile), _cut(weight, tile)) for index, weight in (self._rows, self._columns)
        )
        index = row[..., :, None] + column[..., None, :]  # (y, x, tap along y, along x)
        weight = row_weight[..., :, None] * column_weight[..., None, :]
        return index.flatten(2).flatten(0, 1), weight.flatten(2).flatten(0, 1)


def gather_for(distortion: DistortionMap, interpolation: Interpolation) -> Gather:
    """Choose how the frames of a map are gathered.

    Parameters
    ----------
    distortion : DistortionMap
        Where each pixel of the slow grid lies in the rapid frames.
    interpolation : {"linear", "cubic", "lanczos"}
        See `Warp`.

    Returns
    -------
    Gather
    """
    if distortion.source_y.shape[1] == 1:
        if distortion.source_x.shape[0] == 1:
            return GatherLines(distortion, interpolation)
        return GatherRowByRow(distortion, interpolation)
    if interpolation == "linear":
        return GatherSamples(distortion)
    return GatherPixels(distortion, interpolation)


def _cut(plane: torch.Tensor, tile: tuple[slice, slice]) -> torch.Tensor:
    """Cut a plane (n_y or 1, n_x or 1, tap); an axis of length 1 serves all tiles."""
    whole = slice(None)
    y, x = (part if n > 1 else whole for part, n in zip(tile, plane.shape[:2], strict=True))
    return plane[y, x]


def _by_tap(found: Taps) -> Taps:
    """Turn taps (..., tap) to (tap, ...)."""
    index, weight = found
    return index.movedim(-1, 0).contiguous(), weight.movedim(-1, 0).contiguous()


def _mixed_lines(lines: torch.Tensor, found: Taps) -> torch.Tensor:
    """Mix lines (line, value) to (source, value)."""
    index, weight = found  # (source, tap)
    return embedding_bag(index, lines, per_sample_weights=weight, mode="sum")


def _mix_columns(
    rows: torch.Tensor, index: torch.Tensor, weight: torch.Tensor, out: torch.Tensor
) -> None:
    """Mix values of each row (y, rapid x) into ``out`` (y, x) by taps (tap, y, x) or (tap, x)."""
    pick = torch.index_select if index.ndim == 2 else torch.gather
    pick(rows, 1, index[0], out=out)
    out.mul_(weight[0])
    picked = torch.empty_like(out)
    for tap in range(1, len(index)):
        pick(rows, 1, index[tap], out=picked)
        out.addcmul_(picked, weight[tap])
