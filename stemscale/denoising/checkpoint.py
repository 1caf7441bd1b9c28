"""A training that was cut short, on disk: weights, their averages, the optimiser and the place."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from stemscale.errors import FilterError, TrainingError
from stemscale.whole_file import whole_file

_STATE = "stemscale_checkpoint"  # key in the file's header


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Checkpoint:
    """All that a training needs to go on as if it had never stopped.

    Attributes
    ----------
    fingerprint : str
        Of recipe, data, seed and length: only the same training goes on.
    tensors : mapping of str to Tensor
    state : mapping
        JSON values.
    """

    fingerprint: str
    tensors: Mapping[str, Tensor]
    state: Mapping[str, Any]


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint, at once or not at all.

    Raises
    ------
    FilterError
        If the file cannot be written.
    """
    tensors = {k: t.detach().cpu().contiguous() for k, t in checkpoint.tensors.items()}
    state = json.dumps({"fingerprint": checkpoint.fingerprint, **checkpoint.state})
    try:
        with whole_file(path) as made:
            made.write_bytes(save(tensors, metadata={_STATE: state}))
    except OSError as error:
        raise FilterError(f"{path}: the checkpoint cannot be written here ({error})") from error


def load_checkpoint(path: Path, fingerprint: str) -> Checkpoint:
    """Read a checkpoint of a training.

    Parameters
    ----------
    path : Path
    fingerprint : str
        Of the training that is to go on.

    Returns
    -------
    Checkpoint

    Raises
    ------
    TrainingError
        If the file is damaged, or of another training.
    """
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads((file.metadata() or {})[_STATE])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        found = state.pop("fingerprint")
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(
            f"{path}: not a whole checkpoint of a training ({error}): start anew with --overwrite"
        ) from error
    if found != fingerprint:
        raise TrainingError(
            f"{path}: a training with other data, recipe, length, seed or number of devices was "
            "cut short here: run that command again to finish it, or start anew with --overwrite"
        )
    return Checkpoint(fingerprint=found, tensors=tensors, state=state)
