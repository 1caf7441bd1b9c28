"""Fourier transforms of the images on one grey scale: a smear draws a vertical streak into them."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse

from stemscale.quality import power_spectrum
from stemscale.reports.display import Display, on_grid
from stemscale.reports.plot import Plot, column
from stemscale.reports.plots.panels import panel_grid, panel_title, show_image
from stemscale.reports.shots import FloatImage, FovShots

FloatArray = npt.NDArray[np.float64]

LEAST_PX = 16  # a side: below, there is no spectrum to speak of
_MOST_BINS = 128  # a side, of the picture: single ones only scatter
_STREAK = (0.14, 0.8)  # width and height of the ellipse, of the Nyquist wave number
_BRIGHTEST = 0.9995  # quantile
_BELOW_NOISE = 4.0  # in ln power: what a filter leaves is darker than the noise of the slow scan


def fourier_plot(shots: FovShots, display: Display) -> Plot | None:
    """Draw each image over its Fourier transform.

    Parameters
    ----------
    shots : FovShots
        Images of one FOV.
    display : Display
        The same on one scale: a gain would shift a whole spectrum.

    Returns
    -------
    Plot or None
        None for images too small for a spectrum.

    Notes
    -----
    Source: Ihara 2022, Fig. 3 and 6b (rows Q4 and Q6): ln |F|² after a Hann window.
    """
    shape = shots.reference.image.shape
    if min(shape) < LEAST_PX:
        return None
    size_nm = shots.reference.pixel_size_nm
    shown = on_grid(shots, display)
    spectra = [averaged(power_spectrum(image)) for _, image in shown]
    at = next(i for i, (shot, _) in enumerate(shown) if shot is shots.reference)
    darkest, brightest = _window(spectra[at], spectra)
    nyquist = 0.5 if size_nm is None else 500.0 / size_nm
    k_y, k_x = _places(shape, nyquist)
    figure, panels = panel_grid(len(shown), shape[0] / shape[1], 1.0)
    for (top, below), (shot, image), spectrum in zip(panels, shown, spectra, strict=True):
        show_image(
            top, image, black=display.black, white=display.white, pixel_size_nm=shot.pixel_size_nm
        )
        panel_title(top, shot, with_psnr=False)
        below.imshow(
            spectrum,
            cmap="gray",
            vmin=darkest,
            vmax=brightest,
            extent=_extent(k_y, k_x),
        )
        below.set(xlim=(-nyquist, nyquist), ylim=(nyquist, -nyquist))
        _mark_streak(below, nyquist)
    for axes in (below for _, below in panels):
        axes.tick_params(labelsize=7.5, pad=2)
        axes.locator_params(nbins=5)
        axes.label_outer()
    unit = "1/px" if size_nm is None else "1/µm"
    panels[0][1].set_ylabel(f"$k_y$ [{unit}]", labelpad=1)
    panels[0][1].set_xlabel(f"$k_x$ [{unit}]", labelpad=1)
    return Plot(
        name="fourier",
        fov=shots.fov.name,
        title="Images and their Fourier transforms",
        caption="ln |F|² after a Hann window, one grey scale for all. Broken line: where a smear "
        "along the scan line leaves a vertical streak.",
        paper="Fig. 3, 6b",
        figure=figure,
        numbers=_numbers([shot.name for shot, _ in shown], spectra, k_y, k_x, unit),
        photographic=True,
    )


def averaged(spectrum: FloatImage) -> FloatImage:
    """Average neighbours of a spectrum down to some 128 bins a side.

    Parameters
    ----------
    spectrum : ndarray, shape (y, x)
        Zero wave number at pixel (n_y // 2, n_x // 2).

    Returns
    -------
    ndarray, shape (about 128 or fewer, the same)
        Zero wave number in the middle of pixel (n_y // 2, n_x // 2).
    """
    n_y, n_x = spectrum.shape
    step = _step(spectrum.shape)
    rows = (np.arange(n_y) - n_y // 2 + step // 2) // step
    columns = (np.arange(n_x) - n_x // 2 + step // 2) // step
    sums = np.zeros((np.ptp(rows) + 1, np.ptp(columns) + 1))
    np.add.at(sums, (rows[:, None] - rows[0], columns[None] - columns[0]), spectrum)
    count = np.bincount(rows - rows[0])[:, None] * np.bincount(columns - columns[0])[None]
    coarse: FloatImage = sums / count
    return coarse


def _step(shape: tuple[int, ...]) -> int:
    """Say how many bins of a spectrum make one of its picture."""
    return max(1, round(max(shape) / _MOST_BINS))


def _places(shape: tuple[int, ...], nyquist: float) -> tuple[FloatArray, FloatArray]:
    """Give the wave numbers along y and x of the bins of an averaged spectrum."""
    step = _step(shape)
    first = [(-(n // 2) + step // 2) // step for n in shape]
    last = [(n - 1 - n // 2 + step // 2) // step for n in shape]
    k_y, k_x = (
        np.arange(a, b + 1) * step * 2 * nyquist / n
        for a, b, n in zip(first, last, shape, strict=True)
    )
    return k_y, k_x


def _window(reference: FloatImage, spectra: list[FloatImage]) -> tuple[float, float]:
    """Choose black and white: the noise of the sharpest image is a dark grey."""
    darkest = float(np.median(reference)) - _BELOW_NOISE
    brightest = max(float(np.quantile(s, _BRIGHTEST)) for s in spectra)
    return darkest, max(brightest, darkest + 1)


def _extent(k_y: FloatArray, k_x: FloatArray) -> tuple[float, float, float, float]:
    """Lay the middles of the bins at their wave numbers."""
    half_y, half_x = (k_y[1] - k_y[0]) / 2, (k_x[1] - k_x[0]) / 2
    return k_x[0] - half_x, k_x[-1] + half_x, k_y[-1] + half_y, k_y[0] - half_y


def _mark_streak(axes: Axes, nyquist: float) -> None:
    width, height = (2 * share * nyquist for share in _STREAK)
    axes.add_patch(
        Ellipse(
            (0, 0), width, height, fill=False, edgecolor="#e69f00", linewidth=1.1, ls=(0, (4, 2.5))
        )
    )


def _numbers(
    names: list[str], spectra: list[FloatImage], k_y: FloatArray, k_x: FloatArray, unit: str
) -> dict[str, FloatArray]:
    """Half of the plane: the other half is the same, turned by 180 degrees."""
    right = k_x >= 0
    y, x = np.meshgrid(k_y, k_x[right], indexing="ij")
    per = "per_px" if unit == "1/px" else "per_um"
    columns = {
        column(name, "ln_power"): s[:, right].ravel()
        for name, s in zip(names, spectra, strict=True)
    }
    return {f"k_y_{per}": y.ravel(), f"k_x_{per}": x.ravel(), **columns}
