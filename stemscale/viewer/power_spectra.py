"""The power spectrum of an image, as a picture with wave numbers on its axes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stemscale.quality import power_spectrum
from stemscale.viewer.greys import Greys, Scale, Window, to_greys
from stemscale.viewer.series import Grid

FloatImage = npt.NDArray[np.float32]
_NM_PER_UM = 1000.0
_QUANTILES = (0.02, 0.9995)  # the rest of the noise floor, and the bright centre


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Spectrum:
    """ln |F|² of an image.

    Attributes
    ----------
    values : ndarray of float32, shape (y, x)
        Zero frequency at pixel (n_y // 2, n_x // 2).
    left, top, width, height : float
        Of the picture, in wave numbers [1/µm, or 1/px]; top is the edge of the first row.
    """

    values: FloatImage
    left: float
    top: float
    width: float
    height: float


def spectrum(image: FloatImage, grid: Grid, *, scale: Scale, in_nm: bool) -> Spectrum:
    """Transform an image after a Hann window.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        NaN = not seen.
    grid : Grid
        Its pixel size.
    scale : Scale
        Onto the common scale: a gain shifts the whole spectrum.
    in_nm : bool
        Whether the pixel size is in nm.

    Returns
    -------
    Spectrum
        The streak of the lag is a band along y in it: what is smeared along x has lost its high
        wave numbers there (rows Q4 and Q6).
    """
    values = power_spectrum(image).astype(np.float32)
    values += np.float32(2 * np.log(abs(scale.gain) or 1.0))
    pixel = grid.pixel / _NM_PER_UM if in_nm else grid.pixel
    n_y, n_x = values.shape
    step_y, step_x = 1 / (n_y * pixel), 1 / (n_x * pixel)
    return Spectrum(
        values=values,
        left=-(n_x // 2 + 0.5) * step_x,
        top=-(n_y // 2 + 0.5) * step_y,
        width=n_x * step_x,
        height=n_y * step_y,
    )


def common_window(found: list[Spectrum]) -> Window:
    """Choose one grey window for several spectra, from the first of them."""
    low, high = np.quantile(found[0].values, _QUANTILES)
    return Window(black=float(low), white=float(max(high, low + 1)))


def picture(found: Spectrum, window: Window, *, zoom: float) -> Greys:
    """Render a spectrum, see `to_greys`."""
    return to_greys(found.values, window, zoom=zoom)
