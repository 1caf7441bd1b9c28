"""Small synthetic scans with a known distortion: dark curved lines, lag, noise, response."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

Image = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Dark curved lines on a bright ground, known at every point (no interpolation)."""

    angle: Image
    offset: Image
    wave: Image  # amplitude, wave number, phase per line
    depth: Image
    half_width: Image

    def at(self, y: Image, x: Image) -> Image:
        intensity = np.ones(np.broadcast_shapes(y.shape, x.shape))
        for angle, offset, wave, depth, width in zip(
            self.angle, self.offset, self.wave, self.depth, self.half_width, strict=True
        ):
            along = np.cos(angle) * x + np.sin(angle) * y
            across = np.cos(angle) * y - np.sin(angle) * x - offset
            phase = wave[1] * along + wave[2]
            slope = wave[0] * wave[1] * np.cos(phase)
            distance = (across - wave[0] * np.sin(phase)) / np.sqrt(1 + slope**2)
            intensity = intensity * (1 - depth * np.exp(-0.5 * (distance / width) ** 2))
        return intensity


def random_scene(rng: np.random.Generator, n: int, *, lines: int | None = None) -> Scene:
    """Lines in all directions, crossing a view of n by n pixels."""
    count = lines if lines is not None else max(10, n // 14)
    angle = rng.uniform(0, np.pi, count)
    centre = rng.uniform(0, n, (2, count))
    wave = np.stack(
        [
            rng.uniform(3, 14, count),
            2 * np.pi / rng.uniform(70, 250, count),
            rng.uniform(0, 2 * np.pi, count),
        ],
        axis=1,
    )
    offset = np.cos(angle) * centre[0] - np.sin(angle) * centre[1]
    return Scene(
        angle=angle,
        offset=offset,
        wave=wave,
        depth=rng.uniform(0.15, 0.55, count),
        half_width=rng.uniform(1.6, 3.2, count),
    )


def beam_path(rng: np.random.Generator, n: int, *, strength: float = 1.0) -> Image:
    """Slow-grid column that each rapid column sees: wide view, strongest stretch at line start."""
    column = np.arange(n, dtype=float)
    early = rng.uniform(0.2, 0.6) * rng.choice([-0.7, 1.0]) * np.exp(-column / (n * 0.09))
    wavy = rng.uniform(0.05, 0.12) * np.sin(column / n * rng.uniform(5, 9) + rng.uniform(0, 6))
    rate = np.clip(1 + strength * (early + wavy * np.exp(-column / (0.5 * n))), 0.5, 2.0)
    path = np.concatenate([[0.0], np.cumsum(0.5 * (rate[1:] + rate[:-1]))])
    path *= 1.1 * (n - 1) / path[-1]
    return path - rng.uniform(0.03, 0.07) * n


def invert(path: Image, n: int) -> Image:
    """Rapid column that sees each slow-grid column."""
    inverse = CubicSpline(path, np.arange(path.size))
    return np.asarray(inverse(np.arange(n)))


def smear(signal: Image, *, share: float = 0.32, short: float = 1.3, long: float = 9.0) -> Image:
    """Causal two-tail lag along x; the long tail is longer where the signal is stronger."""
    out = np.empty_like(signal)
    fast, slow = signal[:, 0].copy(), signal[:, 0].copy()
    mid = signal.mean()
    for column in range(signal.shape[1]):
        value = signal[:, column]
        fast += (1 - np.exp(-1 / short)) * (value - fast)
        slow += (1 - np.exp(-1 / (long * np.clip(value / mid, 0.3, 3)))) * (value - slow)
        out[:, column] = (1 - share) * fast + share * slow
    return out


@dataclass(frozen=True, kw_only=True)
class Scan:
    """One field of view as a rapid scan and as a slow scan, and the truth."""

    dcfi: Image
    slow: Image
    source_x: Image
    row_offset: float


def make_scan(
    seed: int,
    n: int = 256,
    *,
    path: Image | None = None,
    frames: int = 20,
    dose: float = 24.0,
    lag: bool = True,
    noise: bool = True,
    response: bool = True,
    lines: int | None = None,
    row_offset: float | None = None,
    offset_x: float = 0.0,
    shear: float = 0.0,
) -> Scan:
    """Simulate a DCFI of so many frames and its slow scan; one ``path`` is one distortion.

    With ``shear``, the beam sees that many columns further right in the last row than in the first.
    """
    rng = np.random.default_rng(seed)
    if path is None:
        path = beam_path(np.random.default_rng(seed + 1000), n)
    path = path + offset_x
    scene = random_scene(rng, n, lines=lines)
    offset = rng.uniform(-3, 3) if row_offset is None else row_offset
    rows = np.arange(n, dtype=float)[:, None]
    slow = scene.at(rows, np.arange(n, dtype=float)[None])
    rapid = scene.at(rows - offset, path[None] + shear * rows / n)
    if response:
        rapid = rapid ** np.exp(rng.uniform(-0.28, 0.28))
        y, x = np.mgrid[0:n, 0:n] / n
        phase = rng.uniform(0, 6, 2)
        rapid = rapid + 0.12 * np.sin(3 * x + phase[0]) * np.cos(3 * y + phase[1])
    if noise:
        total = dose * frames
        rapid = rng.normal(rapid * total, np.sqrt(np.clip(rapid, 0.05, None) * total)) / total
        slow = rng.poisson(slow * 50 * dose) / (50 * dose)
    if lag:
        rapid = smear(rapid)
    if noise:
        rapid = rapid + rng.normal(0, 1.2 / dose / np.sqrt(frames), rapid.shape)
    return Scan(
        dcfi=rapid * 9000 + 4000,
        slow=slow * 14000 + 2000,
        source_x=invert(path, n),
        row_offset=float(offset),
    )


def make_series(
    seed: int, n: int, shifts: Image, *, dose: float | None = 24.0, lag: bool = True
) -> Image:
    """Make rapid frames whose scene lies at ``shifts`` (frame, 2) [px], without distortion."""
    rng = np.random.default_rng(seed)
    scene = random_scene(rng, n)
    axis = np.arange(n, dtype=float)
    frames = []
    for dy, dx in shifts:
        frame = scene.at((axis - dy)[:, None], (axis - dx)[None])
        if dose is not None:
            frame = rng.poisson(frame * dose) / dose
        if lag:
            frame = smear(frame)
        if dose is not None:
            frame = frame + rng.normal(0, 1.2 / dose, frame.shape)
        frames.append(frame * 9000 + 4000)
    return np.stack(frames)


def rms_after_shift(estimate: Image, truth: Image, *, margin: float = 0.02) -> float:
    """RMS difference [px] over the interior once its mean is taken off."""
    edge = int(margin * truth.size)
    difference = (np.ravel(estimate) - np.ravel(truth))[edge : truth.size - edge]
    return float(np.sqrt(np.mean((difference - difference.mean()) ** 2)))
