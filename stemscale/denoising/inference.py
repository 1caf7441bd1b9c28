"""Run a filter over frames."""

import logging
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from stemscale.denoising.batches import BatchSize
from stemscale.denoising.courier import Courier, OnTheWay, courier_to
from stemscale.denoising.filter_file import Filter
from stemscale.denoising.neighbours import neighbours
from stemscale.denoising.scaling import (
    SeriesScale,
    equalized,
    frame_min_max,
    normalise,
    to_counts,
)
from stemscale.denoising.unet import UNet, pad_to_multiple
from stemscale.denoising.unseen import fill_unseen
from stemscale.errors import FilterError, FrameShapeError

logger = logging.getLogger(__name__)

FloatFrames = NDArray[np.float32]  # (frame, y, x)
FloatStacks = NDArray[np.float32]  # (frame, frames in, y, x)

# A frame of more pixels is filtered in tiles: 1,024² of 64 channels are 268 MB an activation.
MAX_PIXELS = 1024 * 1024


def denoise_frames(
    frames: NDArray[Any],
    filter: Filter,
    *,
    scale: SeriesScale,
    which: slice = slice(None),
    batch: int | Literal["trial"] | None = None,
    device: str = "cpu",
    max_pixels: int = MAX_PIXELS,
) -> FloatFrames:
    """Filter frames, one by one.

    A filter of several frames sees those beside each, too. ``frames`` is taken for the whole
    series, mirrored at its ends: to filter a part of it, give its neighbours along, and ``which``.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        Corrected rapid frames [counts], any real dtype; NaN = not seen.
    filter : Filter
    scale : SeriesScale
        Of the series these frames are from (``series_scale``); the same for every block, so that
        a frame filtered alone and inside any block gives the same. A filter trained on frames
        min-max scaled one by one does not use it.
    which : slice
        Frames to filter, of step 1.
    batch : int or "trial", optional
        Frames the network takes at once; by default 1 on a CPU, the quickest there, and elsewhere
        what a trial on the first frames finds quickest. Where the device's memory ends, half as
        many; of one frame, tiles of half the size; at last the CPU. That is remembered. It changes
        speed and memory only.
    device : str
        torch's name of it.
    max_pixels : int
        Frames of more pixels are filtered in tiles of at most so many.

    Returns
    -------
    ndarray of float32, shape (frames filtered, y, x)
        [counts], on the scale of the input; NaN where the input is NaN. Of a filter trained on
        equalised frames: equalised, between the frame's minimum and maximum.

    Raises
    ------
    FrameShapeError
        If ``frames`` is not (frame, y, x).
    FilterError
        If the batch is below 1, or ``max_pixels``, or the device's memory, leaves no room for the
        smallest tile.

    Examples
    --------
    What is not seen stays so. A large frame is filtered in tiles, which changes nothing:

    >>> import numpy as np
    >>> from stemscale.denoising import denoise_frames, load_filter, series_scale
    >>> from stemscale.shipped import find_filter
    >>> live = load_filter(find_filter("live"))
    >>> frames = np.random.default_rng(0).poisson(100, size=(2, 160, 160)).astype(np.float32)
    >>> frames[0, 0, :3] = np.nan
    >>> filtered = denoise_frames(frames, live, scale=series_scale(frames))
    >>> filtered.shape, filtered.dtype.name, int(np.isnan(filtered).sum())
    ((2, 160, 160), 'float32', 3)
    >>> tiled = denoise_frames(frames, live, scale=series_scale(frames), max_pixels=150 * 150)
    >>> np.allclose(tiled, filtered, atol=0.01, equal_nan=True)
    True
    """
    if frames.ndim != 3 or 0 in frames.shape[1:]:
        raise FrameShapeError(f"frames have shape {frames.shape}: needed is (frame, y, x)")
    if batch is None and torch.device(device).type == "cpu":
        batch = 1
    if isinstance(batch, int) and batch < 1:
        raise FilterError(f"batch is {batch} frames: needed is 1 or more")
    size = (
        BatchSize(batch) if isinstance(batch, int) else filter.batch_size(device, frames.shape[1:])
    )
    device = "cpu" if size.on_cpu else device
    network, courier = filter.network_on(device), courier_to(device)
    chosen = range(*which.indices(len(frames)))
    result = np.empty((len(chosen), *frames.shape[1:]), dtype=np.float32)
    inputs = _Inputs(frames, filter, scale)
    on_the_way: deque[tuple[range, OnTheWay]] = deque()

    def land() -> None:
        block, batch = on_the_way.popleft()
        for index, output in zip(block, batch.wait(), strict=True):
            result[index - chosen.start] = to_counts(output, inputs.scale_back(index))

    start = 0
    while start < len(chosen):
        block = chosen[start : start + size.now]
        stacks = np.stack([inputs.stack(index) for index in block])
        began = time.perf_counter()
        allowed = min(max_pixels, size.max_pixels or max_pixels)
        try:
            started = _start(network, stacks, courier, allowed)
        except torch.OutOfMemoryError as error:
            while on_the_way:
                land()
            torch.cuda.empty_cache()
            size.shrink(min(allowed, frames[0].size), smallest_tile(network))
            if size.on_cpu and device == "cpu":
                raise FilterError(f"no tile of a frame finds room in memory: {error}") from error
            device = "cpu" if size.on_cpu else device
            network, courier = filter.network_on(device), courier_to(device)
            logger.warning(
                "out of memory: now %d frames of at most %s pixels on %s",
                size.now,
                size.max_pixels or allowed,
                device,
            )
            continue
        if size.trying:
            started.wait()
            size.done(len(block), time.perf_counter() - began)
        on_the_way.append((block, started))
        start += len(block)
        if len(on_the_way) > 1:
            land()
    while on_the_way:
        land()
    if frames.dtype.kind == "f":
        result[~np.isfinite(frames[chosen.start : chosen.stop])] = np.nan
    return result


class _Inputs:
    """What a network sees of each frame."""

    def __init__(self, frames: NDArray[Any], filter: Filter, scale: SeriesScale) -> None:
        self._frames, self._normalisation, self._scale = frames, filter.normalisation, scale
        self._frames_in = filter.network.settings.frames_in
        self._filled: dict[int, FloatFrames] = {}  # those that the next frame sees as well

    def stack(self, index: int) -> FloatFrames:
        """Frames around one, (frames in, y, x), on its scale."""
        around = neighbours(index, self._frames_in, len(self._frames))
        if self._normalisation == "frame_min_max":  # of the middle frame: nothing can be kept
            scale = frame_min_max(self._frames[index])
            return np.stack([fill_unseen(normalise(self._frames[i], scale)) for i in around])
        self._filled = {i: self._filled[i] for i in around if i in self._filled}
        for i in around:
            if i not in self._filled:
                self._filled[i] = self._seen(self._frames[i])
        return np.stack([self._filled[i] for i in around])

    def scale_back(self, index: int) -> SeriesScale:
        """Scale that brings the network's answer to counts."""
        if self._normalisation == "series":
            return self._scale
        return frame_min_max(self._frames[index])

    def _seen(self, frame: NDArray[Any]) -> FloatFrames:
        if self._normalisation == "frame_equalized":
            return fill_unseen(self._equalized(frame))
        return fill_unseen(normalise(frame, self._scale))

    def _equalized(self, frame: NDArray[Any]) -> FloatFrames:
        found = equalized(frame)
        return normalise(found, frame_min_max(found))


def run_network(network: UNet, inputs: FloatStacks, *, device: str = "cpu") -> FloatFrames:
    """Pass frames through a network, whole or in tiles.

    Parameters
    ----------
    network : UNet
        On ``device``, in evaluation mode.
    inputs : ndarray of float32, shape (frame, frames in, y, x)
        Normalised, every pixel finite.
    device : str

    Returns
    -------
    ndarray of float32, shape (frame, y, x)

    Raises
    ------
    FilterError
        If tiles of `MAX_PIXELS` leave no room for the smallest one of this network.
    """
    return _start(network, inputs, courier_to(device), MAX_PIXELS).wait()


def _start(network: UNet, inputs: FloatStacks, courier: Courier, max_pixels: int) -> OnTheWay:
    height, width = inputs.shape[-2:]

    def work(frames: torch.Tensor) -> torch.Tensor:
        padded = pad_to_multiple(frames, network.settings.multiple_px)
        padded = padded.contiguous(memory_format=torch.channels_last)
        if padded.shape[-2] * padded.shape[-1] <= max_pixels:
            output = network.forward_padded(padded)
        else:
            output = _run_in_tiles(network, padded, max_pixels)
        return output[:, 0, :height, :width].contiguous()

    with torch.inference_mode():
        return courier.start(inputs, work)


def _run_in_tiles(network: UNet, frames: torch.Tensor, max_pixels: int) -> torch.Tensor:
    """Filter padded frames (batch, frames in, y, x) tile by tile; the same as filtering them whole.

    A tile carries a halo as wide as the network can see and lies on the network's pooling grid,
    so its core comes out as in the whole frame, and there is no seam to blend.
    """
    unit, halo = network.settings.multiple_px, _halo(network)
    largest = int(max_pixels**0.5) // unit * unit - 2 * halo  # of a core
    if largest < unit:
        raise FilterError(
            f"tiles of {max_pixels} pixels are too small for this network, which sees "
            f"{network.settings.halo_px} px far: allow {smallest_tile(network)} or more"
        )
    result = torch.empty_like(frames[:, :1])
    size_y, size_x = frames.shape[-2:]
    for top, bottom in _cores(size_y, largest):
        for left, right in _cores(size_x, largest):
            first_y, first_x = max(0, top - halo), max(0, left - halo)
            tile = frames[..., first_y : bottom + halo, first_x : right + halo]
            output = network.forward_padded(tile.contiguous(memory_format=torch.channels_last))
            core = output[..., top - first_y : bottom - first_y, left - first_x : right - first_x]
            result[..., top:bottom, left:right] = core
    return result


def smallest_tile(network: UNet) -> int:
    """Count the pixels of the smallest tile that a network can filter."""
    return (network.settings.multiple_px + 2 * _halo(network)) ** 2


def _halo(network: UNet) -> int:
    """Margin of a tile, on the network's pooling grid [px]."""
    unit = network.settings.multiple_px
    return -(-network.settings.halo_px // unit) * unit


def _cores(size: int, largest: int) -> Iterator[tuple[int, int]]:
    for start in range(0, size, largest):
        yield start, min(start + largest, size)
