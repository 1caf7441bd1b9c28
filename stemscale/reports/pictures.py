"""Images become PNG pictures for a page."""

import base64
import io
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image as PngImage

from stemscale.reports.display import Crop, Display
from stemscale.reports.shots import FovShots, Shot
from stemscale.views.scale_bar import ScaleBar, scale_bar

FloatImage = npt.NDArray[np.float64]

LONGEST_SIDE_PX = 1024  # to be magnified on the page
_FOV_BYTES = 5_000_000  # of all images of a FOV: what a page of 20 MB has room for
_BYTES_A_PIXEL = 1.4  # of noise, as PNG in a data URI
_TALLEST = 1.6  # height over the width of a column


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One panel of a FOV, as the page's template wants it."""

    title: str
    note: str
    role: str
    psnr_db: float | None
    source: str  # data URI
    width: int
    height: int
    width_percent: float  # of its column: a tall image takes less
    view_nm: float | None  # width of what it shows
    bar: ScaleBar | None
    crop_source: str | None
    crop_bar: ScaleBar | None
    box: tuple[float, float, float, float] | None  # left, top, width, height of the crop [%]

    @property
    def n_bytes(self) -> int:
        """Size of its images on the page."""
        return len(self.source) + len(self.crop_source or "")


def picture(shots: FovShots, display: Display, index: int) -> Picture:
    """Render one image of a FOV and its magnified part.

    Parameters
    ----------
    shots : FovShots
        The images.
    display : Display
        Their common scale.
    index : int
        Which one.

    Returns
    -------
    Picture
    """
    shot, image = shots.shots[index], display.images[index]
    n_y, n_x = image.shape
    crop = display.crop if image.shape == shots.reference.image.shape else None
    return Picture(
        title=shot.name,
        note=shot.note,
        role=shot.role,
        psnr_db=shot.psnr_db,
        source=png_uri(image, black=display.black, white=display.white, longest_px=_longest(shots)),
        width=n_x,
        height=n_y,
        width_percent=min(100.0, 100.0 * _TALLEST * n_x / n_y),
        view_nm=None if shot.pixel_size_nm is None else n_x * shot.pixel_size_nm,
        bar=_bar(shot, n_x),
        crop_source=None
        if crop is None
        else png_uri(
            crop.of(image),
            black=display.black,
            white=display.white,
            longest_px=_longest(shots) // 2,
        ),
        crop_bar=None if crop is None else _bar(shot, crop.size),
        box=None if crop is None else _box(crop, n_y, n_x),
    )


def png_uri(
    image: FloatImage, *, black: float, white: float, longest_px: int = LONGEST_SIDE_PX
) -> str:
    """Render an image as an 8-bit PNG in a data URI.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        NaN (not seen) becomes transparent.
    black, white : float
        Intensities of the darkest and the brightest grey.
    longest_px : int
        Longer side, at most [px]; larger images are averaged.

    Returns
    -------
    str
        ``data:image/png;base64,…``.
    """
    grey = np.clip((image - black) / (white - black), 0, 1) * 255
    seen = np.isfinite(grey)
    bytes_ = np.where(seen, np.rint(grey), 0).astype(np.uint8)
    rendered = PngImage.fromarray(bytes_)
    if not seen.all():
        rendered.putalpha(PngImage.fromarray(seen.astype(np.uint8) * 255))
    longest = max(rendered.size)
    if longest > longest_px:
        size = tuple(max(1, round(n * longest_px / longest)) for n in rendered.size)
        rendered = rendered.resize((size[0], size[1]), PngImage.Resampling.BOX)
    stream = io.BytesIO()
    rendered.save(stream, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _longest(shots: FovShots) -> int:
    """Leave room for all images of a FOV, however many filters there are."""
    room = math.sqrt(_FOV_BYTES / _BYTES_A_PIXEL / len(shots.shots))
    return min(LONGEST_SIDE_PX, max(128, int(room)))


def _bar(shot: Shot, width_px: int) -> ScaleBar | None:
    return None if shot.pixel_size_nm is None else scale_bar(width_px * shot.pixel_size_nm)


def _box(crop: Crop, n_y: int, n_x: int) -> tuple[float, float, float, float]:
    return (
        100 * crop.left / n_x,
        100 * crop.top / n_y,
        100 * crop.size / n_x,
        100 * crop.size / n_y,
    )
