"""Small synthetic rapid series with a known truth, and a filter too small to be good."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.signal import lfilter

from stemscale.denoising import PRESETS, Recipe, TrainingFov, UNet, UNetSettings
from stemscale.denoising.filter_file import Filter, architecture_card
from stemscale.filter_card import FORMAT_VERSION

TINY = UNetSettings(width=8, depth=2, stem=2, residual=True)


def tiny_recipe(**changes) -> Recipe:
    """The standard recipe around a network that learns in seconds."""
    settings = {"network": TINY, "patch_px": 48, "batch": 8, "rate": 4e-3, **changes}
    return replace(PRESETS["standard"], **settings)


def tiny_filter(*, normalisation="series", network=TINY, seed=0) -> Filter:
    """An untrained filter with weights that do something."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        unet = UNet(network)
        torch.nn.init.normal_(unet.head.weight, std=0.1)
    card = {
        "format_version": FORMAT_VERSION,
        "architecture": architecture_card(network),
        "normalisation": normalisation,
        "recipe": {},
    }
    return Filter(unet.requires_grad_(False), card)


@dataclass(frozen=True)
class Scan:
    truth: np.ndarray  # (y, x) [electrons a pixel]
    rapid: np.ndarray  # (frame, y, x) float32 [counts]
    slow: np.ndarray  # (y, x) [counts of another detector setting, another background]

    def fov(self, name="fov01") -> TrainingFov:
        return TrainingFov(name=name, frames=self.rapid, target=self.slow)


COUNTS, OFFSET = 300.0, 2000.0  # of the rapid frames: counts per electron, counts in the dark


def scan_of(size=96, *, frames=6, seed=0, dose=24.0) -> Scan:
    """Dark curved lines; Poisson noise; a causal exponential smear along x (tail of 4 px)."""
    rng = np.random.default_rng(seed)
    truth = dose * lines(size, rng)
    noisy = rng.poisson(truth, size=(frames, size, size)).astype(float)
    rapid = np.float32(COUNTS * smeared(noisy) + OFFSET)
    slope = np.linspace(0, 0.5 * dose, size)[:, None]
    return Scan(truth=truth, rapid=rapid, slow=900.0 * (truth + slope) + 7000.0)


def lines(size, rng) -> np.ndarray:
    """Transmission (y, x) of a foil with dark lines, 1 where there is none."""
    y, x = np.mgrid[:size, :size].astype(float)
    image = np.ones((size, size))
    for _ in range(7):
        angle, bow = rng.uniform(0, np.pi), rng.uniform(-1, 1) / size
        x0, y0 = rng.uniform(0, size, 2)
        along = (x - x0) * np.cos(angle) + (y - y0) * np.sin(angle)
        across = -(x - x0) * np.sin(angle) + (y - y0) * np.cos(angle) - bow * along**2
        image *= 1 - rng.uniform(0.4, 0.7) * np.exp(-0.5 * (across / rng.uniform(1.5, 2.5)) ** 2)
    return image


def smeared(images, tail_px=4.0, reach_px=32) -> np.ndarray:
    """Every pixel answers with (1 - e^(-1/tail)) e^(-k/tail) at k px to its right."""
    k = np.arange(reach_px)
    response = np.exp(-k / tail_px)
    response /= response.sum()
    before = np.repeat(images[..., :1], reach_px - 1, axis=-1)
    padded = np.concatenate([before, images], axis=-1)
    return np.apply_along_axis(np.convolve, -1, padded, response, mode="valid")


def grainy_frame(
    size=256, *, grain_px=5.0, dose=24.0, tail_px=1.5, scene=None, seed=0
) -> np.ndarray:
    """One rapid frame (y, x) float32 of grains, of the same kind wherever one looks.

    Poisson noise of ``dose`` electrons a pixel, then a causal exponential lag of ``tail_px``.
    ``scene`` is the seed of the grains; by default, each frame has its own.
    """
    clean = dose * grains(size, grain_px, seed if scene is None else scene)
    noisy = np.random.default_rng((seed, 1)).poisson(clean).astype(np.float64)
    keep = np.exp(-1 / tail_px) if tail_px else 0.0
    late, _ = lfilter([1 - keep], [1, -keep], noisy, axis=-1, zi=keep * noisy[:, :1])
    return np.float32(late)


def grains(size, grain_px, seed) -> np.ndarray:
    """Transmission (y, x), 1 ± 0.25, with structures of about ``grain_px``."""
    white = np.random.default_rng((seed, 0)).normal(0, 1, (size, size))
    smooth = gaussian_filter(white, grain_px / 2, mode="wrap")
    return 1 + 0.25 * np.clip(smooth / smooth.std(), -3, 3)
