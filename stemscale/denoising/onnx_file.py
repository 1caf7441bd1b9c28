"""A filter as an ONNX file, for programs that know neither torch nor stemscale."""

import importlib.metadata
import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stemscale.denoising.filter_file import Filter
from stemscale.denoising.unet import UNet
from stemscale.errors import FilterError
from stemscale.filter_card import CARD
from stemscale.whole_file import whole_file

_PACKAGES = ("onnx", "onnxscript")
_OUTPUT = "filtered"

_NORMALISATION_WORDS = {
    "series": "center and spread of the series, the same for all its frames: median, and half the "
    "distance of the 5 % and 95 % percentiles, of the mean of its first 64 frames after binning "
    "by 4 x 4 px",
    "frame_min_max": "center is the minimum of the frame that is filtered, spread its maximum less "
    "its minimum",
    "frame_equalized": "frames are equalised first (CLAHE, tiles of an eighth of the frame, clip "
    "limit 0.01); center is the minimum of the equalised frame that is filtered, spread its "
    "maximum less its minimum; the result is equalised, too",
}


def export_onnx(filter: Filter, path: str | os.PathLike[str]) -> None:
    """Write a filter as an ONNX file, at once or not at all.

    The graph has the inputs ``frames``, float32 (batch, frames in, height, width) [counts], every
    pixel finite; ``center`` and ``spread``, float32 (batch) [counts]; and the output ``filtered``,
    float32 (batch, height, width) [counts], the middle frame of each. Batch, height and width are
    free. Nothing is cut into tiles. The card and the words about these inputs are in
    ``metadata_props``, as ``stemscale_filter`` (JSON), ``frames``, ``center_and_spread`` and
    ``filtered``.

    Parameters
    ----------
    filter : Filter
    path : path
        Ends in ``.onnx``; an existing file is replaced.

    Raises
    ------
    FilterError
        If the name ends otherwise, a package is missing, the file cannot be written, or the
        network is larger than the 2 GB that one file can hold.

    Notes
    -----
    Scaling is in the graph, centre and spread are inputs: counts go in and come out, but the
    graph cannot measure a series of which it sees a few frames only. They are given for each
    frame of a batch, as a filter with min-max scaling needs.
    Scaling is in float32, which every runtime has: a bright offset costs digits, some 1e-7 of the
    offset (stemscale itself scales in double precision).
    """
    path = Path(path)
    if path.suffix != ".onnx":
        raise FilterError(f"{path}: the name of an ONNX file ends in .onnx")
    if missing := [package for package in _PACKAGES if find_spec(package) is None]:
        raise FilterError(
            f"{path}: writing ONNX needs {' and '.join(missing)}: pip install 'stemscale[onnx]'"
        )
    model = _translated(filter.network)
    _describe(model, filter)
    try:
        content = model.SerializeToString()
    except ValueError as error:  # of protobuf, whose messages end at 2 GB
        raise FilterError(
            f"{path}: the network is too large for one ONNX file ({error})"
        ) from error
    try:
        with whole_file(path) as made:
            made.write_bytes(content)
    except OSError as error:
        raise FilterError(f"{path}: the filter cannot be written here ({error})") from error


class _Scaled(nn.Module):
    """The network between scaling and padding, without a decision on the size of a frame."""

    def __init__(self, network: UNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor, center: Tensor, spread: Tensor) -> Tensor:
        height, width = frames.shape[-2:]
        center, spread = (t[:, None, None, None] for t in (center, spread))
        scaled = (frames - center) / spread
        multiple = self.network.settings.multiple_px
        padded = scaled.index_select(-2, _reflected(height, multiple))
        padded = padded.index_select(-1, _reflected(width, multiple))
        result = self.network.forward_padded(padded)[:, :, :height, :width]
        return (result * spread + center)[:, 0]


def _reflected(n: int, multiple: int) -> Tensor:
    """Which pixels pad a line of n to a multiple: as `pad_to_multiple`, but in one step.

    Reflection has a period of 2 (n - 1), and is 0 everywhere for a single pixel.
    """
    places = torch.arange((n + multiple - 1) // multiple * multiple)
    last = torch.arange(n)[-1:]  # a tensor: the exporter knows no remainder by a symbol
    return last - (torch.remainder(places, (2 * last).clamp(min=1)) - last).abs()


def _translated(network: UNet) -> Any:
    """ONNX model of a network, by torch's exporter."""
    settings = network.settings
    module = _Scaled(network).eval()
    size = 3 * settings.multiple_px + 1  # an example that is neither 1 nor a multiple
    example = (torch.zeros(2, settings.frames_in, size, size + 1), torch.zeros(2), torch.ones(2))
    batch, height, width = (torch.export.Dim(n) for n in ("batch", "height", "width"))
    shapes = ({0: batch, 2: height, 3: width}, {0: batch}, {0: batch})
    with _quietly():
        program = torch.onnx.export(
            module,
            example,
            dynamo=True,
            verbose=False,
            input_names=["frames", "center", "spread"],
            output_names=[_OUTPUT],
            dynamic_shapes=shapes,
        )
    if program is None:  # never, with dynamo
        raise FilterError("torch gave no ONNX program: install another version of torch")
    return program.model_proto


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporter's talk of packages that a filter does not need."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def _describe(model: Any, filter: Filter) -> None:
    """Put the card into the model, and take out what the exporter left about this machine."""
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]  # lines of source code, with their files
    for value in [*model.graph.value_info, *model.graph.input, *model.graph.output]:
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    for dim, name in zip(
        model.graph.output[0].type.tensor_type.shape.dim, ("batch", "height", "width"), strict=True
    ):
        dim.dim_param = name  # a formula otherwise
    frames_in = filter.network.settings.frames_in
    of_frames = {
        "frames": "(batch, frames in, height, width) [counts]: corrected rapid frames, every pixel "
        f"finite; {frames_in} in a row, the middle one is filtered",
        "center_and_spread": f"(batch) [counts]: {_NORMALISATION_WORDS[filter.normalisation]}",
        _OUTPUT: "(batch, height, width) [counts], on the scale of the frames",
    }
    card = json.dumps(dict(filter.card), sort_keys=True, allow_nan=False)
    words = {CARD: card, **of_frames}
    del model.metadata_props[:]
    for key, text in words.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, text
    model.producer_name = "stemscale"
    model.producer_version = importlib.metadata.version("stemscale")
    model.graph.name = "filter"
