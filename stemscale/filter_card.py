"""What a filter file says of itself, read without torch."""

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemscale.errors import FilterError

FORMAT_VERSION = 1
CARD = "stemscale_filter"  # key of the card in the file's header
CONTENT_HASH = "sha256"  # key of the content hash in the card
_NEEDED = ("format_version", "architecture", "normalisation", "recipe", CONTENT_HASH)

Parts = Iterable[tuple[str, str, tuple[int, ...], bytes]]


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
    path = Path(path)
    tensors, card = read_parts(path, framework="np")
    check_content(
        path,
        card,
        # types as torch names them, see `stemscale.denoising.save_filter`
        ((n, f"torch.{t.dtype}", t.shape, t.tobytes()) for n, t in sorted(tensors.items())),
    )
    return FilterCard(
        file=path,
        sha256=filter_hash(path),
        n_bytes=path.stat().st_size,
        parameters=sum(math.prod(tensor.shape) for tensor in tensors.values()),
        card=card,
    )


def read_parts(path: Path, *, framework: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read weights and card of a filter file; the content hash is not checked yet.

    Parameters
    ----------
    path : Path
    framework : {"np", "pt"}
        What the weights become: arrays, or tensors of torch.

    Returns
    -------
    tensors : dict
        By name.
    card : dict
        With all that a card needs, in this format.

    Raises
    ------
    FilterError
        If the file is missing, truncated, no filter of stemscale, or of a newer format.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise FilterError(f"{path}: there is no such file: train a filter or mend the path")
    try:
        with safe_open(path, framework=framework) as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, TypeError, AttributeError) as error:  # a type numpy lacks
        raise FilterError(
            f"{path}: not a whole safetensors file ({error}): fetch or train the filter again"
        ) from error
    return tensors, _checked_card(path, metadata)


def check_content(path: Path, card: Mapping[str, Any], parts: Parts) -> None:
    """Refuse a filter file that was changed after it was written.

    Parameters
    ----------
    path : Path
        Named in the error.
    card : mapping
        With the content hash.
    parts : iterable of tuple
        As `content_hash` takes them.

    Raises
    ------
    FilterError
        If the hash in the card is not that of the content.
    """
    try:
        found = content_hash(card, parts)
    except ValueError:  # what JSON cannot hold was not written by us
        found = ""
    if found != card[CONTENT_HASH]:
        raise FilterError(
            f"{path}: weights or card were changed after the filter was written (the hash in its "
            "card does not fit): fetch or train it again"
        )


def content_hash(card: Mapping[str, Any], parts: Parts) -> str:
    """Hash a card and every tensor's name, type, shape and bytes.

    Parameters
    ----------
    card : mapping
        JSON values; its own content hash does not count.
    parts : iterable of (name, type as torch names it, shape, bytes)
        One a tensor, sorted by name.

    Returns
    -------
    str
        SHA-256, 64 hexadecimal digits.

    Raises
    ------
    ValueError
        If the card holds NaN or infinity.
    """
    said = {key: value for key, value in card.items() if key != CONTENT_HASH}
    digest = hashlib.sha256(json.dumps(said, sort_keys=True, allow_nan=False).encode())
    for name, type_, shape, content in parts:
        digest.update(f"\n{name} {type_} {tuple(shape)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def filter_hash(path: str | os.PathLike[str]) -> str:
    """Hash a filter file.

    Parameters
    ----------
    path : path

    Returns
    -------
    str
        SHA-256 of the file, 64 hexadecimal digits: what a run records, and the name of its copy.

    Raises
    ------
    FilterError
        If the file cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FilterError(f"{path}: the filter cannot be read ({error})") from error


def _checked_card(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        card = json.loads(metadata[CARD], parse_constant=_refuse)
        if not isinstance(card, dict):
            raise TypeError(f"the card is a {type(card).__name__}")
    except (KeyError, TypeError, ValueError) as error:
        raise FilterError(
            f"{path}: its header has no stemscale card, so it is no filter of stemscale: "
            "give a file that `stemscale train` wrote"
        ) from error
    if missing := [key for key in _NEEDED if key not in card]:
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
