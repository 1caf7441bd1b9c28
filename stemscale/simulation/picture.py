"""A specimen that is a picture: real images under the simulated microscope."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import spline_filter

from stemscale.errors import SettingsError
from stemscale.simulation.scene import SceneImage


class PictureSpecimen:
    """A specimen at rest, taken from a picture.

    Parameters
    ----------
    picture : ndarray, shape (y, x)
        Any real dtype, as free of noise as can be: what is in it is part of the specimen. Larger
        than the view by what its scans see beside it.
    size : int
        Pixels of the view along both axes; it lies in the middle of the picture.
    darkest : float
        Signal of the darkest pixel; that of the brightest is 1.

    Raises
    ------
    SettingsError
        If the picture is smaller than the view, or shows nothing.

    Examples
    --------
    A ramp under a microscope without faults is a ramp:

    >>> import numpy as np
    >>> from stemscale.quality import zncc
    >>> from stemscale.simulation import EFFECTS, FieldOfView, PictureSpecimen, SimulationSettings
    >>> picture = np.tile(np.arange(64.0), (64, 1))
    >>> specimen = PictureSpecimen(picture, size=48, darkest=0.2)
    >>> settings = SimulationSettings().without(*EFFECTS)
    >>> fov = FieldOfView(1, size=48, n_frames=1, settings=settings, specimen=specimen)
    >>> round(zncc(fov.frame(0).counts, picture[8:56, 8:56]), 4)
    1.0
    """

    def __init__(self, picture: NDArray[Any], *, size: int, darkest: float) -> None:
        if min(picture.shape) < size:
            raise SettingsError(
                f"the picture has shape {picture.shape}, but the view has {size} pixels along "
                "both axes: take a larger picture or a smaller view"
            )
        values = picture.astype(np.float64)
        if np.ptp(values) == 0:
            raise SettingsError("the picture is empty, every pixel is alike: take another one")
        scaled = (values - values.min()) / np.ptp(values)
        self._margin = (min(picture.shape) - size) // 2
        square = scaled[: size + 2 * self._margin, : size + 2 * self._margin]
        signal = darkest + (1.0 - darkest) * square
        self._coefficients = spline_filter(signal, order=3, mode="mirror")

    def image(self, age_s: float = 0.0) -> SceneImage:
        """Give it as the beam sees it; ``age_s`` changes nothing."""
        del age_s
        return SceneImage(self._coefficients, self._margin)
