"""What the ledger says of a run: all that its pixels depend on, and a fingerprint of that."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from stemscale.acquisition import ScanSettings
from stemscale.corrections import Calibration, fingerprint
from stemscale.denoising import SeriesScale
from stemscale.distortion import Interpolation
from stemscale.pipeline.filters import FilterChoice


def run_record(
    choice: FilterChoice,
    *,
    calibration: Calibration | None,
    interpolation: Interpolation,
    drift: dict[str, Any] | None,
    tuning: dict[str, Any] | None,
    scale: SeriesScale | None,
    settings: ScanSettings,
    n_frames: int,
    block: int,
    dtype: str,
) -> dict[str, Any]:
    """Everything that the pixels of the output depend on, but for the input blocks themselves.

    Parameters
    ----------
    choice : FilterChoice
    calibration : Calibration or None
        What corrects the frames.
    interpolation : str
        How they are corrected.
    drift, tuning : dict or None
        As `drift_recipe` and `tuning_recipe` give them.
    scale : SeriesScale or None
        For a filter file.
    settings : ScanSettings
        Of the frames to be written.
    n_frames : int
        Rapid frames.
    block : int
        Frames to be written in a block.
    dtype : str
        Of a pixel.

    Returns
    -------
    dict
        JSON values, with the ``fingerprint``.
    """
    run: dict[str, Any] = {
        "filter": choice.to_run(),
        "distortion": None if calibration is None else fingerprint(calibration.distortion),
        "interpolation": interpolation if calibration is not None or drift else None,
        "scale": None if scale is None else {"center": scale.center, "spread": scale.spread},
        "shape": list(settings.shape),
        "dtype": dtype,
        "block": block,
        "whole_series": n_frames if choice.whole_series else None,
    }
    if drift is not None:
        run["drift"] = drift
    if tuning is not None:
        run["tuning"] = tuning
    return fingerprinted(run)


def fingerprinted(run: Mapping[str, Any]) -> dict[str, Any]:
    """Give what is recorded of a run with the fingerprint that tells it from any other."""
    known = {k: v for k, v in run.items() if k != "fingerprint"}
    content = json.dumps(known, sort_keys=True).encode()
    return {**known, "fingerprint": hashlib.sha256(content).hexdigest()}
