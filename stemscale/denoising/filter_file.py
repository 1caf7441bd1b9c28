"""The filter: a network with its card, as one safetensors file."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save
from torch import Tensor

from stemscale.denoising.batches import BatchSize
from stemscale.denoising.scaling import Normalisation
from stemscale.denoising.unet import UNet, UNetSettings
from stemscale.errors import FilterError, SettingsError
from stemscale.filter_card import (
    CARD,
    CONTENT_HASH,
    Parts,
    check_content,
    content_hash,
    read_parts,
)
from stemscale.whole_file import whole_file

_NORMALISATIONS = ("series", "frame_min_max", "frame_equalized")


@dataclass(frozen=True, slots=True, eq=False)
class Filter:
    """A trained network and the card that says what it is.

    Parameters
    ----------
    network : UNet
    card : mapping
        JSON values: ``architecture`` (name, arguments), ``normalisation``, ``recipe``,
        ``target``, ``training``, ``scores``, ``stemscale_version``, ``licence``, ``date``, and
        what the caller of the training added (scan settings, stores and FOVs).
    """

    network: UNet
    card: Mapping[str, Any]
    _batches: dict[tuple[Any, ...], BatchSize] = field(default_factory=dict, init=False, repr=False)

    def batch_size(self, device: str, shape: tuple[int, ...]) -> BatchSize:
        """Return how many frames to filter at once, as it was found so far.

        Parameters
        ----------
        device : str
            torch's name of it.
        shape : tuple of int
            (y, x) of a frame.

        Returns
        -------
        BatchSize
        """
        return self._batches.setdefault((device, shape), BatchSize())

    @property
    def normalisation(self) -> Normalisation:
        """How frames are scaled before the network sees them."""
        return cast(Normalisation, self.card["normalisation"])

    def network_on(self, device: str) -> UNet:
        """Return the network, ready to filter on a device.

        Parameters
        ----------
        device : str
            torch's name of it.

        Returns
        -------
        UNet
            In evaluation mode, weights in channels_last order.
        """
        network = self.network.eval()
        return network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def architecture_card(settings: UNetSettings) -> dict[str, Any]:
    """Describe a network for the card.

    Parameters
    ----------
    settings : UNetSettings

    Returns
    -------
    dict
        ``name`` and ``arguments``.
    """
    return {"name": "unet", "arguments": asdict(settings)}


def save_filter(filter: Filter, path: str | os.PathLike[str]) -> None:
    """Write a filter to one file, at once or not at all.

    Parameters
    ----------
    filter : Filter
    path : path
        Ends in ``.safetensors``; an existing file is replaced.

    Raises
    ------
    FilterError
        If the name ends otherwise or the file cannot be written.

    Examples
    --------
    >>> from stemscale.denoising import load_filter, save_filter
    >>> from stemscale.shipped import find_filter
    >>> live = load_filter(find_filter("live"))
    >>> save_filter(live, "copy.safetensors")
    >>> load_filter("copy.safetensors").card == live.card
    True
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise FilterError(f"{path}: the name of a filter file ends in .safetensors")
    tensors = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in filter.network.state_dict().items()
    }
    card = {**filter.card, CONTENT_HASH: content_hash(filter.card, _parts(tensors))}
    content = save(tensors, metadata={CARD: json.dumps(card, sort_keys=True, allow_nan=False)})
    try:
        with whole_file(path) as made:
            made.write_bytes(content)
    except OSError as error:
        raise FilterError(f"{path}: the filter cannot be written here ({error})") from error


def load_filter(path: str | os.PathLike[str]) -> Filter:
    """Read a filter and check all of it.

    Parameters
    ----------
    path : path
        A file of :func:`save_filter`.

    Returns
    -------
    Filter

    Raises
    ------
    FilterError
        If the file is missing, truncated, no filter of stemscale, of a newer format, of an
        unknown architecture, or was changed after it was written.

    Examples
    --------
    >>> from stemscale.denoising import load_filter
    >>> from stemscale.shipped import find_filter
    >>> live = load_filter(find_filter("live"))
    >>> live.normalisation, live.network.settings.frames_in
    ('series', 1)
    >>> sum(weight.numel() for weight in live.network.parameters())
    189268
    """
    path = Path(path)
    tensors, card = read_parts(path, framework="pt")
    network = _build(path, card, tensors)
    check_content(path, card, _parts(tensors))
    return Filter(network, card)


def _build(path: Path, card: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> UNet:
    architecture = card["architecture"]
    if not isinstance(architecture, dict) or architecture.get("name") != "unet":
        raise FilterError(
            f"{path}: its card names the architecture {architecture!r}, known is unet: "
            "install a newer stemscale"
        )
    if card["normalisation"] not in _NORMALISATIONS:
        raise FilterError(
            f"{path}: its card names the normalisation {card['normalisation']!r}, known are "
            f"{', '.join(_NORMALISATIONS)}: install a newer stemscale"
        )
    other = {str(tensor.dtype) for tensor in tensors.values()} - {"torch.float32"}
    if other:
        raise FilterError(
            f"{path}: its weights do not fit: they are {', '.join(sorted(other))}, needed is "
            "torch.float32: fetch or train it again"
        )
    try:
        with torch.device("meta"):  # no weights are drawn only to be overwritten
            network = UNet(UNetSettings(**architecture["arguments"]))
        network.load_state_dict(tensors, assign=True)
    except (KeyError, TypeError, SettingsError, RuntimeError) as error:
        raise FilterError(
            f"{path}: its weights do not fit the network on its card "
            f"({str(error).splitlines()[0]}): fetch or train it again"
        ) from error
    return network.requires_grad_(False)


def _parts(tensors: Mapping[str, Tensor]) -> Parts:
    for name, tensor in sorted(tensors.items()):
        yield name, str(tensor.dtype), tuple(tensor.shape), tensor.numpy().tobytes()
