"""Vary training patches in what a filter must not depend on."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Patches = NDArray[np.float32]  # (batch, y, x)
Stacks = NDArray[np.float32]  # (batch, frames in, y, x)

_LIMIT = 3.0  # standard deviations: no patch leaves the range by chance
_TAIL_PX = (2.0, 9.0)  # a lag that is added has a length between these
_DOSE = (0.5, 4.0)  # the mean of two frames has twice the dose of one; no frame pair gives more


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Batch:
    """Patches of rapid frames and what the filter should make of them."""

    inputs: Stacks  # (batch, frames in, y, x), normalised, every pixel finite
    targets: Patches  # (batch, y, x), normalised, every pixel finite
    weights: Patches  # (batch, y, x), 1 where both were seen, else 0


def augment(
    batch: Batch,
    rng: np.random.Generator,
    *,
    flip_y: bool = False,
    gain_jitter: float = 0.0,
    offset_jitter: float = 0.0,
    lag_jitter: float = 0.0,
) -> Batch:
    """Flip patches along y, vary their gain and offset, and let more of the signal come late.

    Never flipped along x and never turned by 90°: lag smears one way only, towards larger x.

    Parameters
    ----------
    batch : Batch
    rng : numpy.random.Generator
    flip_y : bool
        Turn half of the patches upside down.
    gain_jitter : float
        Standard deviation of the logarithm of the gain.
    offset_jitter : float
        Standard deviation of the offset, on the network's scale.
    lag_jitter : float
        Standard deviation of the share of the signal that comes later still, with a tail of 2 to
        9 px: of the inputs alone.

    Returns
    -------
    Batch
        Of the same shapes; but for the lag, input and target of a patch are changed alike.
    """
    n = len(batch.inputs)
    flipped = rng.random(n) < 0.5 if flip_y else np.zeros(n, dtype=bool)
    gain = np.exp(gain_jitter * _normal(rng, n))
    offset = offset_jitter * _normal(rng, n)
    late = np.minimum(lag_jitter * np.abs(_normal(rng, n)), 0.5)
    tails = np.exp(rng.uniform(math.log(_TAIL_PX[0]), math.log(_TAIL_PX[1]), n))

    def turned(patches: NDArray[np.float32]) -> NDArray[np.float32]:
        result = patches.copy()
        result[flipped] = patches[flipped][..., ::-1, :]
        return result

    def varied(patches: NDArray[np.float32]) -> NDArray[np.float32]:
        if math.isclose(gain_jitter, 0.0) and math.isclose(offset_jitter, 0.0):
            return patches
        per_patch = (-1, *(1,) * (patches.ndim - 1))
        return np.asarray(
            gain.reshape(per_patch) * patches + offset.reshape(per_patch), dtype=np.float32
        )

    inputs = turned(batch.inputs)
    for i in np.flatnonzero(late):
        inputs[i] = delayed(inputs[i], share=float(late[i]), tail_px=float(tails[i]))
    return Batch(
        inputs=varied(inputs), targets=varied(turned(batch.targets)), weights=turned(batch.weights)
    )


def delayed(image: NDArray[Any], *, share: float, tail_px: float) -> NDArray[np.float32]:
    """Let a share of the signal come late along x, as a slow detector does.

    Parameters
    ----------
    image : ndarray, shape (..., y, x)
        Before its first column, the scene is taken to be as in it.
    share : float
        Of the signal, 0 … 1.
    tail_px : float
        Mean delay of that share, about [px].

    Returns
    -------
    ndarray of float32, of the same shape
        Of the same sum along a line but for its ends.
    """
    keep = math.exp(-1 / tail_px)
    before = keep * image[..., :1]
    tail, _ = lfilter([1 - keep], [1, -keep], image, axis=-1, zi=before)
    return np.asarray((1 - share) * image + share * tail, dtype=np.float32)


def dose_weights(
    rng: np.random.Generator, jitter: float, *, scale: float = 1.0
) -> tuple[float, float]:
    """Draw how to mix a frame with another of the same scene, so that it has another dose.

    Parameters
    ----------
    rng : numpy.random.Generator
    jitter : float
        Standard deviation of ln(dose).
    scale : float
        Dose about which to draw, in doses of a frame.

    Returns
    -------
    tuple of float
        Weights of the frame and of the other, 1 in sum; the noise of both is independent, so the
        variance of the mixture is the sum of their squares, times that of a frame. Between one
        half (the mean of both) and four.
    """
    dose = scale * math.exp(jitter * float(_normal(rng, 1)[0]))
    variance = min(max(1 / dose, _DOSE[0]), _DOSE[1])
    other = (1 - math.sqrt(2 * variance - 1)) / 2  # (1 - w)² + w² = variance
    return 1 - other, other


def _normal(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    return np.clip(rng.standard_normal(n), -_LIMIT, _LIMIT)
