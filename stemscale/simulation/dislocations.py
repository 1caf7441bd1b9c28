"""Dislocations as curves in the plane of the image: where they lie and where heating takes them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stemscale.simulation.settings import HeatingSettings, SceneSettings

Points = NDArray[np.float64]  # (point, 2): y, x [nm]
STEP_NM = 1.0  # between two points of a curve; well below the width of every line

_TANGLE_LINES = (7, 13)
_ARRAY_LINES = (4, 8)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Dislocation:
    """One dark line.

    Attributes
    ----------
    points : ndarray, shape (n, 2)
        Positions (y, x) along it, `STEP_NM` apart [nm].
    depth : ndarray, shape (n,)
        Absorption on the line: it transmits exp(-depth).
    fwhm_nm : float
        Its width [nm].
    travel_nm : ndarray, shape (n, 2) or None
        Where heating takes each point in the end, relative to ``points``; None if it is pinned.
    motion_s : float
        How long that takes at the temperature at which heating starts [s].
    annihilates : bool
        Whether it is gone then (two lines that meet, a loop that shrinks), or stays.
    """

    points: Points
    depth: NDArray[np.float64]
    fwhm_nm: float
    travel_nm: Points | None = None
    motion_s: float = np.inf
    annihilates: bool = False

    def at(self, age_s: float) -> tuple[Points, NDArray[np.float64]]:
        """Give positions and depths after heating.

        Parameters
        ----------
        age_s : float
            Time [s] at the temperature at which heating starts (see `thermal_age_s`).

        Returns
        -------
        points : ndarray, shape (n, 2)
        depth : ndarray, shape (n,)
        """
        if self.travel_nm is None:
            return self.points, self.depth
        past = age_s / self.motion_s
        depth = self.depth
        if self.annihilates:
            # Attraction grows as 1/distance, so what is left to go shrinks as a square root; where
            # the fields of the two overlap, their contrast goes.
            to_go = float(np.sqrt(max(1.0 - past, 0.0)))
            done, depth = 1.0 - to_go, depth * min(1.0, 3 * to_go)
        else:
            done = 1.0 - float(np.exp(-past))
        points = self.points + done * self.travel_nm
        # A line that bows out grows longer and stays as dark: each point stands for more of it.
        return points, depth * _spacing_nm(points) / _spacing_nm(self.points)


def draw_dislocations(
    settings: SceneSettings,
    size_nm: tuple[float, float],
    rng: np.random.Generator,
    *,
    heating: HeatingSettings | None = None,
) -> list[Dislocation]:
    """Draw the dislocations of one field of view.

    Parameters
    ----------
    settings : SceneSettings
        How many of which kind.
    size_nm : tuple of float
        (y, x) of the view [nm]; it starts at (0, 0), and lines run on beyond its edges.
    rng : numpy.random.Generator
        All chance comes from it.
    heating : HeatingSettings, optional
        Lets them move; without it all are pinned.

    Returns
    -------
    list of Dislocation
    """
    area_um2 = size_nm[0] * size_nm[1] * 1e-6
    # Slip planes cut the foil in a few directions only: lines lie along these, more or less.
    slip = rng.uniform(0, np.pi) + np.array([0.0, np.pi / 3, np.pi / 1.6]) + rng.normal(0, 0.1, 3)

    def anywhere() -> NDArray[np.float64]:
        return rng.uniform(0, 1, 2) * size_nm

    found: list[Dislocation] = []
    for _ in range(rng.poisson(settings.lines_per_um2 * area_um2)):
        found.append(_line(settings, rng, anywhere(), float(rng.choice(slip)), (250, 1200)))
    for _ in range(rng.poisson(settings.arrays_per_um2 * area_um2)):
        found += _array(settings, rng, anywhere(), float(rng.choice(slip)))
    for _ in range(rng.poisson(settings.tangles_per_um2 * area_um2)):
        found += _tangle(settings, rng, anywhere())
    loops = [
        _loop(settings, rng, anywhere())
        for _ in range(rng.poisson(settings.loops_per_um2 * area_um2))
    ]
    dots = [
        _dot(settings, rng, anywhere())
        for _ in range(rng.poisson(settings.dots_per_um2 * area_um2))
    ]
    if heating is None:
        return found + loops + dots
    moving = [d for line in found for d in _set_going(line, heating, rng)]
    return moving + dots + [_shrinking(loop, heating, rng) for loop in loops]


def _line(
    settings: SceneSettings,
    rng: np.random.Generator,
    middle: NDArray[np.float64],
    direction: float,
    length_nm: tuple[float, float],
    *,
    curl: float = 1.0,
) -> Dislocation:
    """Draw a smooth curve through ``middle``; ``curl`` multiplies how much it winds."""
    s = np.arange(0.0, rng.uniform(*length_nm), STEP_NM)
    angle = direction + rng.normal(0, 0.15) + curl * rng.normal(0, 0.0006) * s
    for amplitude, wave_nm in ((0.45, 500.0), (0.25, 180.0), (0.12, 70.0)):
        phase = rng.uniform(0, 2 * np.pi)
        wave = np.sin(2 * np.pi * s / (wave_nm * rng.uniform(0.7, 1.4)) + phase)
        angle += curl * amplitude * rng.normal(0, 0.7) * wave
    points = np.cumsum(np.stack([np.sin(angle), np.cos(angle)], axis=1), axis=0) * STEP_NM
    points += middle - points[len(points) // 2]
    return Dislocation(
        points=points,
        depth=_depth_along(s, settings, rng),
        fwhm_nm=float(rng.choice(settings.line_fwhm_nm)),
    )


def _draw_depth(settings: SceneSettings, rng: np.random.Generator) -> float:
    low, high = np.log(settings.line_depth)  # most lines are faint: far from two-beam conditions
    return float(np.exp(rng.uniform(low, high)))


def _depth_along(
    s: NDArray[np.float64], settings: SceneSettings, rng: np.random.Generator
) -> NDArray[np.float64]:
    # An inclined line beats with the extinction distance, and ends at the foil's surfaces.
    beat = rng.uniform(0.0, 0.35) * np.cos(2 * np.pi * s / rng.uniform(40, 160) + rng.uniform(0, 6))
    ends = np.minimum(1.0, np.minimum(s + STEP_NM, s[-1] - s + STEP_NM) / 15.0)
    depth: NDArray[np.float64] = _draw_depth(settings, rng) * (1.0 + beat) * ends
    return depth


def _array(
    settings: SceneSettings, rng: np.random.Generator, middle: NDArray[np.float64], direction: float
) -> list[Dislocation]:
    """Draw lines one behind the other on one slip plane, closer towards its head."""
    first = _line(settings, rng, middle, direction, (250, 700), curl=0.6)
    across = np.array([np.cos(direction), -np.sin(direction)]) * rng.choice([-1, 1])
    gap, lines, offset = rng.uniform(28, 45), [first], 0.0
    for i in range(1, int(rng.integers(*_ARRAY_LINES))):
        offset += gap * (1 + 0.15 * i)
        along = np.linspace(0, np.pi * rng.uniform(1, 3), len(first.depth))
        wobble = rng.normal(0, 4) * np.sin(along)
        points = first.points + (offset + wobble[:, None]) * across
        lines.append(replace(first, points=points, depth=first.depth * rng.uniform(0.7, 1.1)))
    return lines


def _tangle(
    settings: SceneSettings, rng: np.random.Generator, middle: NDArray[np.float64]
) -> list[Dislocation]:
    """Draw short, strongly wound lines on one heap."""
    stretched = rng.permutation([0.6, 1.5])
    return [
        _line(
            settings,
            rng,
            middle + rng.normal(0, 45, 2) * stretched,
            rng.uniform(0, 2 * np.pi),
            (80, 350),
            curl=3.0,
        )
        for _ in range(rng.integers(*_TANGLE_LINES))
    ]


def _loop(
    settings: SceneSettings, rng: np.random.Generator, middle: NDArray[np.float64]
) -> Dislocation:
    """Draw a small loop: a circle seen at a slant, fainter where it runs along the g vector."""
    radius, aspect, tilt = rng.uniform(12, 40), rng.uniform(0.45, 1.0), rng.uniform(0, np.pi)
    t = np.linspace(0, 2 * np.pi, max(24, int(2 * np.pi * radius / STEP_NM)), endpoint=False)
    major, minor = radius * np.cos(t), radius * aspect * np.sin(t)
    y = major * np.sin(tilt) + minor * np.cos(tilt)
    x = major * np.cos(tilt) - minor * np.sin(tilt)
    depth = _draw_depth(settings, rng) * (0.75 + 0.25 * np.cos(2 * (t - rng.uniform(0, 6))))
    return Dislocation(
        points=np.stack([y, x], axis=1) + middle,
        depth=depth,
        fwhm_nm=float(min(settings.line_fwhm_nm)),
    )


def _dot(
    settings: SceneSettings, rng: np.random.Generator, middle: NDArray[np.float64]
) -> Dislocation:
    """Draw a line seen end-on, or a small precipitate: a dark dot, a little longer than wide."""
    fwhm_nm = float(rng.choice(settings.line_fwhm_nm))
    n, angle = int(rng.integers(1, 12)), rng.uniform(0, np.pi)
    along = (np.arange(n) - 0.5 * (n - 1)) * STEP_NM
    points = middle + along[:, None] * np.array([np.sin(angle), np.cos(angle)])
    # So many points as a line would have over its own width give a dot the depth of a line.
    depth = rng.uniform(*settings.dot_depth) * 1.06 * fwhm_nm / STEP_NM / n
    return Dislocation(points=points, depth=np.full(n, depth), fwhm_nm=fwhm_nm)


def _set_going(
    line: Dislocation, heating: HeatingSettings, rng: np.random.Generator
) -> Iterator[Dislocation]:
    """Let a line glide to its next obstacle, or meet another of opposite sign; some stay."""
    along = line.points[-1] - line.points[0]
    across = np.array([along[1], -along[0]]) / max(float(np.hypot(*along)), STEP_NM)
    distance, motion_s = rng.uniform(*heating.glide_nm), _motion_s(heating, rng)
    fate = rng.uniform() / max(heating.mobile_share, 1e-9)
    if fate >= 1.0:
        yield line
    elif fate < 0.4:  # with a partner beside it; they meet half way
        gap = 0.5 * distance * across
        ones = np.ones_like(line.points)
        half = 0.5 * gap * ones
        yield replace(line, travel_nm=half, motion_s=motion_s, annihilates=True)
        partner = replace(line, points=line.points + gap)
        yield replace(partner, travel_nm=-half, motion_s=motion_s, annihilates=True)
    else:  # pinned at its ends it bows out, else it glides as a whole
        n = len(line.points)
        bow = np.sin(np.linspace(0, np.pi, n)) if rng.uniform() < 0.5 else np.ones(n)
        yield replace(line, travel_nm=distance * bow[:, None] * across, motion_s=motion_s)


def _shrinking(
    loop: Dislocation, heating: HeatingSettings, rng: np.random.Generator
) -> Dislocation:
    motion_s = _motion_s(heating, rng)
    if rng.uniform() >= heating.mobile_share:
        return loop
    to_centre = loop.points.mean(axis=0) - loop.points
    return replace(loop, travel_nm=to_centre, motion_s=motion_s, annihilates=True)


def _spacing_nm(points: Points) -> NDArray[np.float64]:
    steps: NDArray[np.float64] = np.hypot(*np.gradient(points, axis=0).T)
    return np.maximum(steps, 1e-6)


def _motion_s(heating: HeatingSettings, rng: np.random.Generator) -> float:
    low, high = np.log(heating.motion_s)
    return float(np.exp(rng.uniform(low, high)))
