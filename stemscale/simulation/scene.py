"""The specimen as the beam sees it: transmitted intensity in the plane of the image."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, spline_filter

from stemscale.errors import SettingsError
from stemscale.simulation.dislocations import STEP_NM, Dislocation, draw_dislocations
from stemscale.simulation.settings import HeatingSettings, SceneSettings

Field = NDArray[np.float64]
_FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))
_MIN_FWHM_PX = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class SceneImage:
    """One state of the scene, to be sampled anywhere.

    Attributes
    ----------
    coefficients : ndarray, shape (y, x)
        Of a cubic B-spline, on the slow scan's pixels and ``margin`` more on every side.
    margin : int
        [px]
    """

    coefficients: Field
    margin: int

    def sample(self, rows: NDArray[np.float64], columns: NDArray[np.float64]) -> Field:
        """Read the transmitted intensity where the beam is.

        Parameters
        ----------
        rows : ndarray, shape (n_y,)
            Position of each line of a scan [px of the slow scan].
        columns : ndarray, shape (n_x,) or (n_y, n_x)
            Position along the lines [px of the slow scan].

        Returns
        -------
        ndarray, shape (n_y, n_x)
            1 where nothing absorbs. The edge goes on beyond the margin.
        """
        lines = np.zeros((len(rows), self.coefficients.shape[1]))
        for i, weight in _taps(rows + self.margin, self.coefficients.shape[0]):
            lines += weight[:, None] * self.coefficients[i]
        out = np.zeros((len(rows), columns.shape[-1]))
        start = np.arange(len(rows))[:, None] * lines.shape[1]
        for i, weight in _taps(columns + self.margin, lines.shape[1]):
            out += weight * lines.take(start + i)
        return out


def _taps(positions: Field, n: int) -> Iterator[tuple[NDArray[np.intp], Field]]:
    """Give the four pixels around each position, and their cubic B-spline weights."""
    first = np.floor(positions)
    t = positions - first
    square = t * t
    cube = square * t  # numpy's ** 3 takes ten times as long
    start = first.astype(np.intp) - 1
    weights = (
        (1 - 3 * t + 3 * square - cube) / 6,
        (4 - 6 * square + 3 * cube) / 6,
        (1 + 3 * t + 3 * square - 3 * cube) / 6,
        cube / 6,
    )
    for k, weight in enumerate(weights):
        yield np.clip(start + k, 0, n - 1), weight


class Scene:
    """The specimen in one field of view; heating may move its dislocations.

    Parameters
    ----------
    settings : SceneSettings
        What lies there.
    shape : tuple of int
        (n_y, n_x) of the slow scan.
    pixel_size_nm : float
        Of the slow scan [nm].
    rng : numpy.random.Generator
        All chance comes from it.
    heating : HeatingSettings, optional
        Of an in-situ series.

    Raises
    ------
    SettingsError
        If the pixels are too coarse for the lines.
    """

    def __init__(
        self,
        settings: SceneSettings,
        shape: tuple[int, int],
        pixel_size_nm: float,
        rng: np.random.Generator,
        *,
        heating: HeatingSettings | None = None,
    ) -> None:
        if min(settings.line_fwhm_nm) < _MIN_FWHM_PX * pixel_size_nm:
            raise SettingsError(
                f"pixel_size_nm is {pixel_size_nm:g}, but lines of {min(settings.line_fwhm_nm):g} "
                f"nm (line_fwhm_nm) need {_MIN_FWHM_PX:g} pixels: take smaller pixels, wider lines"
            )
        self.pixel_size_nm = pixel_size_nm
        # Room for the rapid scan's extra view and for drift.
        self.margin = int(0.1 * max(shape)) + 24
        self._shape = (shape[0] + 2 * self.margin, shape[1] + 2 * self.margin)
        size_nm = (self._shape[0] * pixel_size_nm, self._shape[1] * pixel_size_nm)
        lines = draw_dislocations(settings, size_nm, rng, heating=heating)
        self._moving = [d for d in lines if d.travel_nm is not None]
        pinned = [d for d in lines if d.travel_nm is None]
        self._still = self._bulk(settings, rng) + self._lines(pinned, 0.0)

    def image(self, age_s: float = 0.0) -> SceneImage:
        """Give the scene at one moment.

        Parameters
        ----------
        age_s : float
            How far heating has gone (see `thermal_age_s`) [s].

        Returns
        -------
        SceneImage
        """
        absorption = self._still + self._lines(self._moving, age_s) if self._moving else self._still
        return SceneImage(spline_filter(np.exp(-absorption), order=3, mode="mirror"), self.margin)

    def _lines(self, lines: list[Dislocation], age_s: float) -> Field:
        """Draw lines of one width as one: points spread over pixels, then blurred to the width."""
        total = np.zeros(self._shape)
        for fwhm_nm in sorted({d.fwhm_nm for d in lines}):
            states = [d.at(age_s) for d in lines if d.fwhm_nm == fwhm_nm]
            sigma_px = fwhm_nm / _FWHM_PER_SIGMA / self.pixel_size_nm
            # A straight line that carries this much per px has its depth on its axis after the blur
            per_point = np.sqrt(2 * np.pi) * sigma_px * STEP_NM / self.pixel_size_nm
            sharp = _spread(
                np.concatenate([points for points, _ in states]) / self.pixel_size_nm,
                np.concatenate([depth for _, depth in states]) * per_point,
                self._shape,
            )
            total += gaussian_filter(sharp, sigma_px, mode="constant")
        return total

    def _bulk(self, settings: SceneSettings, rng: np.random.Generator) -> Field:
        """Draw what has no sharp edge: the foil's thickness and its bend contours."""
        y = (np.arange(self._shape[0]) / self._shape[0] - 0.5)[:, None]
        x = (np.arange(self._shape[1]) / self._shape[1] - 0.5)[None, :]
        a, b, c, d, e = rng.uniform(-1, 1, 5)
        slope = a * x + b * y + 0.8 * (c * x * x + d * y * y + e * x * y)
        total: Field = settings.thickness_depth * (slope - slope.min()) / np.ptp(slope)
        size_nm = max(self._shape) * self.pixel_size_nm
        for _ in range(rng.poisson(settings.bend_contours)):
            angle, curve = rng.uniform(0, np.pi), rng.normal(0, 0.6)
            along = x * np.cos(angle) + y * np.sin(angle)
            across = (
                y * np.cos(angle) - x * np.sin(angle) + curve * along**2 - rng.uniform(-0.4, 0.4)
            )
            sigma = rng.uniform(45, 110) / size_nm
            depth = rng.uniform(*settings.bend_depth)
            total += depth * np.exp(-0.5 * (across / sigma) ** 2)
        return total


def _spread(points: Field, weights: NDArray[np.float64], shape: tuple[int, int]) -> Field:
    """Share each weight among the four pixels around its point; what lies outside is left out."""
    first = np.floor(points).astype(np.intp)
    inside = np.all((first >= 0) & (first < np.array(shape) - 1), axis=1)
    first, weights = first[inside], weights[inside]
    ty, tx = (points[inside] - first).T
    index = first[:, 0] * shape[1] + first[:, 1]
    total = np.zeros(shape[0] * shape[1])
    for step, share in (
        (0, (1 - ty) * (1 - tx)),
        (1, (1 - ty) * tx),
        (shape[1], ty * (1 - tx)),
        (shape[1] + 1, ty * tx),
    ):
        total += np.bincount(index + step, weights * share, minlength=total.size)
    return total.reshape(shape)
