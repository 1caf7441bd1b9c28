"""What a filter file says of itself, read without torch."""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemscale.errors import FilterError

FORMAT_VERSION = 1
CARD = "stemscale_filter"  # key of the card in the file's header
CONTENT_HASH = "sha256"  # key of the content hash in the card
NEEDED = ("format_version", "architecture", "normalisation", "recipe", CONTENT_HASH)


@dataclass(frozen=True, kw_only=True, slots=True)
class FilterCard:
    """What a filter file says of itself.

    Attributes
    ----------
    file : Path
        The filter file.
    sha256 : str
        Of the file: what a run records, and the name of its copy.
    n_bytes : int
        Size of the file [byte].
    parameters : int
        Weights in it.
    card : mapping
        JSON values, see `stemscale.denoising.Filter`. Files of older versions lack newer entries.
    """

    file: Path
    sha256: str
    n_bytes: int
    parameters: int
    card: Mapping[str, Any]


def read_card(path: str | os.PathLike[str]) -> FilterCard:
    """Read the card of a filter file, and check that the file is as it was written.

    The network is not built, so torch is not imported; `stemscale.denoising.load_filter` also
    checks that the weights fit the architecture.

    Parameters
    ----------
    path : path
        A file of `stemscale.denoising.save_filter`.

    Returns
    -------
    FilterCard

    Raises
    ------
    FilterError
        If the file is missing, truncated, no filter of stemscale, of a newer format, or was
        changed after it was written.

    Notes
    -----
    The content hash goes over the card and every tensor's name, type, shape and bytes. It tells
    damage and carelessness; whoever forges a file can forge the hash.

    Examples
    --------
    >>> from stemscale.filter_card import read_card
    >>> from stemscale.shipped import find_filter
    >>> found = read_card(find_filter("standard"))
    >>> found.card["normalisation"], found.card["architecture"]["arguments"]["width"]
    ('series', 16)
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise FilterError(f"{path}: there is no such file: train a filter or mend the path")
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        with path.open("rb") as whole:
            sha256 = hashlib.file_digest(whole, "sha256").hexdigest()
    except (OSError, SafetensorError, TypeError, AttributeError) as error:  # a type numpy lacks
        raise FilterError(
            f"{path}: not a whole safetensors file ({error}): fetch or train the filter again"
        ) from error
    card = _card(path, metadata)
    if _content_hash(tensors, card) != card[CONTENT_HASH]:
        raise FilterError(
            f"{path}: weights or card were changed after the filter was written (the hash in its "
            "card does not fit): fetch or train it again"
        )
    return FilterCard(
        file=path,
        sha256=sha256,
        n_bytes=path.stat().st_size,
        parameters=sum(math.prod(tensor.shape) for tensor in tensors.values()),
        card=card,
    )


def _card(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        card = json.loads(metadata[CARD], parse_constant=_refuse)
        if not isinstance(card, dict):
            raise TypeError(f"the card is a {type(card).__name__}")
    except (KeyError, TypeError, ValueError) as error:
        raise FilterError(
            f"{path}: its header has no stemscale card, so it is no filter of stemscale: "
            "give a file that `stemscale train` wrote"
        ) from error
    if missing := [key for key in NEEDED if key not in card]:
        raise FilterError(
            f"{path}: its card lacks {', '.join(missing)}: give a file that `stemscale train` wrote"
        )
    if card["format_version"] != FORMAT_VERSION:
        raise FilterError(
            f"{path}: filter format {card['format_version']!r}, this stemscale reads "
            f"{FORMAT_VERSION}: install the stemscale that wrote it "
            f"({card.get('stemscale_version', 'unknown')}) or train it again"
        )
    return card


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")


def _content_hash(tensors: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    """SHA-256 as `stemscale.denoising.save_filter` makes it; it names types as torch does."""
    said = {key: value for key, value in card.items() if key != CONTENT_HASH}
    digest = hashlib.sha256(json.dumps(said, sort_keys=True, allow_nan=False).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\n{name} torch.{tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()
