"""Vary training patches in what a filter must not depend on."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Patches = NDArray[np.float32]  # (batch, y, x)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Batch:
    """Patches of rapid frames and what the filter should make of them."""

    inputs: Patches  # (batch, y, x), normalised, every pixel finite
    targets: Patches  # (batch, y, x), normalised, every pixel finite
    weights: Patches  # (batch, y, x), 1 where both were seen, else 0


def augment(
    batch: Batch,
    rng: np.random.Generator,
    *,
    flip_y: bool,
    gain_jitter: float,
    offset_jitter: float,
) -> Batch:
    """Flip patches along y and vary their gain and offset.

    Never along x and never by 90°: lag smears one way only, towards larger x.

    Parameters
    ----------
    batch : Batch
        Patches of shape (batch, y, x).
    rng : numpy.random.Generator
    flip_y : bool
        Turn half of the patches upside down.
    gain_jitter : float
        Standard deviation of the logarithm of the gain.
    offset_jitter : float
        Standard deviation of the offset, on the network's scale.

    Returns
    -------
    Batch
        Of the same shapes; input and target of a patch are changed alike.
    """
    n = len(batch.inputs)
    flipped = rng.random(n) < 0.5 if flip_y else np.zeros(n, dtype=bool)
    limit = 3.0  # standard deviations: no patch leaves the range by chance
    gain = np.exp(gain_jitter * np.clip(rng.standard_normal(n), -limit, limit))
    offset = offset_jitter * np.clip(rng.standard_normal(n), -limit, limit)

    def turned(patches: Patches) -> Patches:
        result = patches.copy()
        result[flipped] = patches[flipped, ::-1]
        return result

    def varied(patches: Patches) -> Patches:
        return np.asarray(_per_patch(gain) * turned(patches) + _per_patch(offset), dtype=np.float32)

    if math.isclose(gain_jitter, 0.0) and math.isclose(offset_jitter, 0.0):
        return Batch(
            inputs=turned(batch.inputs),
            targets=turned(batch.targets),
            weights=turned(batch.weights),
        )
    return Batch(
        inputs=varied(batch.inputs), targets=varied(batch.targets), weights=turned(batch.weights)
    )


def _per_patch(values: NDArray[Any]) -> NDArray[Any]:
    return values[:, None, None]
