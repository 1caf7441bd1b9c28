"""Panels side by side on one picture: titles above, scale bars inside, stamps below."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from stemscale.movies.contrast import GreyImage, hatching
from stemscale.views.scale_bar import scale_bar

_PAPER, _INK, _QUIET = 16, 235, 170  # greys of ground and letters
_GAP_PX = 4
_NARROWEST_PX = 128  # of a column: a title needs some room
_FONT_PX = (11, 26)
_COLUMN_IN_FONTS = 27


@dataclass(frozen=True, kw_only=True, slots=True)
class PanelLook:
    """What a panel looks like, whatever the frame.

    Attributes
    ----------
    title : str
        Over it.
    shape : tuple of int
        (height, width) of its pictures [px of the picture].
    pixel_size_nm : float or None
        [nm]; None: no scale bar.
    """

    title: str
    shape: tuple[int, int]
    pixel_size_nm: float | None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Overlay:
    """Something drawn over a part of the canvas: dark ground, light ink."""

    top: int
    left: int
    ink: NDArray[np.float32]  # (y, x), 0 to 1

    def onto(self, canvas: GreyImage) -> None:
        n_y, n_x = self.ink.shape
        under = canvas[self.top : self.top + n_y, self.left : self.left + n_x]
        cut = self.ink[: under.shape[0], : under.shape[1]]
        under[...] = (under * np.float32(0.4) * (1 - cut) + np.float32(250) * cut).astype(np.uint8)


class Canvas:
    """Draws the frames of a movie.

    Parameters
    ----------
    looks : sequence of PanelLook
        From left to right.
    widest : sequence of str
        The longest text of each stamp; the last ones are left out where there is no room.
    scale : float
        Movie pixels for each pixel of a picture.
    """

    def __init__(self, looks: Sequence[PanelLook], widest: Sequence[str], scale: float) -> None:
        self._sizes = [scaled_shape(look.shape, scale) for look in looks]
        self._columns = columns = [max(_NARROWEST_PX, width) for _, width in self._sizes]
        tallest = max(height for height, _ in self._sizes)
        self._font_px = int(np.clip(round(max(columns) / _COLUMN_IN_FONTS), *_FONT_PX))
        self._font = _font(self._font_px)
        self._strip = round(1.8 * self._font_px)
        width = sum(columns) + _GAP_PX * (len(columns) - 1)
        height = tallest + 2 * self._strip
        # H.264 and VP9 halve the size for colour
        self.shape = (height + height % 2, width + width % 2)
        self._lefts: list[int] = []
        self._ground = np.full(self.shape, _PAPER, dtype=np.uint8)
        self._bars: list[_Overlay | None] = []
        left = 0
        for look, (_, panel_width), column in zip(looks, self._sizes, columns, strict=True):
            self._lefts.append(left + (column - panel_width) // 2)
            self._title(look.title, left, column)
            self._bars.append(self._bar(look, self._lefts[-1]))
            left += column + _GAP_PX
        self._stamp_lefts = self._place(widest)

    def draw(self, pictures: Sequence[GreyImage | str], stamps: Sequence[str]) -> GreyImage:
        """Draw one frame.

        Parameters
        ----------
        pictures : sequence of ndarray of uint8, shape (y, x), or str
            One for each panel; or, in words, why there is none.
        stamps : sequence of str
            One for each of ``widest``.

        Returns
        -------
        ndarray of uint8, shape (height, width)
            Both even.
        """
        canvas = self._ground.copy()
        for i, picture in enumerate(pictures):
            left, (n_y, n_x), bar = self._lefts[i], self._sizes[i], self._bars[i]
            if isinstance(picture, str):  # all of its column: words need some room
                left, n_x, bar = left - (self._columns[i] - n_x) // 2, self._columns[i], None
                picture = self._absent(picture, (n_y, n_x))
            canvas[self._strip : self._strip + n_y, left : left + n_x] = resized(
                picture, (n_y, n_x)
            )
            if bar is not None:
                bar.onto(canvas)
        top = self.shape[0] - self._strip
        for text, left in zip(stamps, self._stamp_lefts, strict=False):
            self._write(canvas, text, left, top, _INK)
        return canvas

    def _title(self, title: str, left: int, width: int) -> None:
        room = width - self._font_px
        text = title
        while len(text) > 1 and self._font.getlength(text) > room:
            text = f"{text.removesuffix('…')[:-1].rstrip(' ,')}…"
        self._write(self._ground, text, left + self._font_px // 2, 0, _QUIET)

    def _bar(self, look: PanelLook, left: int) -> _Overlay | None:
        """Put a scale bar into the lower left corner, on a darker ground."""
        if look.pixel_size_nm is None:
            return None
        index = len(self._lefts) - 1
        n_y, n_x = self._sizes[index]
        bar = scale_bar(look.shape[1] * look.pixel_size_nm)
        length = max(1, round(bar.percent / 100 * n_x))
        pad, thick = self._font_px // 2, max(2, self._font_px // 5)
        words = int(np.ceil(self._font.getlength(bar.label)))
        box = (2 * pad + round(1.1 * self._font_px) + 2 * thick, 2 * pad + max(length, words))
        if box[0] > n_y or box[1] > n_x:  # no room: the picture comes first
            return None
        ink = np.zeros(box, dtype=np.uint8)
        start = (box[1] - length) // 2
        ink[box[0] - pad - thick : box[0] - pad, start : start + length] = 255
        image = Image.fromarray(ink)
        middle = (box[1] / 2, pad / 2)
        ImageDraw.Draw(image).text(middle, bar.label, fill=255, font=self._font, anchor="ma")
        margin = min(pad, (n_y - box[0]) // 2, (n_x - box[1]) // 2)
        return _Overlay(
            top=self._strip + n_y - box[0] - margin,
            left=left + margin,
            ink=np.asarray(image).astype(np.float32) / np.float32(255),
        )

    def _absent(self, why: str, size: tuple[int, int]) -> GreyImage:
        """Hatch a panel, and say in its middle why."""
        image = Image.fromarray(hatching(*size, period=12))
        draw = ImageDraw.Draw(image)
        centre = (size[1] / 2, size[0] / 2)
        around = draw.textbbox(centre, why, font=self._font, anchor="mm")
        pad = self._font_px // 2
        draw.rectangle(
            (around[0] - pad, around[1] - pad, around[2] + pad, around[3] + pad), fill=_PAPER
        )
        draw.text(centre, why, fill=_INK, font=self._font, anchor="mm")
        return np.asarray(image)

    def _place(self, widest: Sequence[str]) -> list[int]:
        """Give the left edges of the stamps that find room."""
        lefts: list[int] = []
        left = float(self._font_px // 2)
        for text in widest:
            end = left + self._font.getlength(text)
            if lefts and end > self.shape[1] - self._font_px // 2:
                break
            lefts.append(round(left))
            left = end + 1.5 * self._font_px
        return lefts

    def _write(self, canvas: GreyImage, text: str, left: int, top: int, ink: int) -> None:
        """Write a line of text into the strip of the canvas that begins at ``top``."""
        strip = Image.fromarray(canvas[top : top + self._strip])
        draw = ImageDraw.Draw(strip)
        draw.text((left, self._strip / 2), text, fill=ink, font=self._font, anchor="lm")
        canvas[top : top + self._strip] = np.asarray(strip)


def scaled_shape(shape: tuple[int, int], scale: float) -> tuple[int, int]:
    """Give the size of a picture in the movie [px]."""
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def resized(picture: GreyImage, size: tuple[int, int]) -> GreyImage:
    """Bring a picture to another size: pixels repeated or averaged, none made up.

    Parameters
    ----------
    picture : ndarray of uint8, shape (y, x)
    size : tuple of int
        (height, width).

    Returns
    -------
    ndarray of uint8, shape ``size``
    """
    n_y, n_x = picture.shape
    if (n_y, n_x) == size:
        return picture
    if size[0] % n_y == 0 and size[1] % n_x == 0:
        return picture.repeat(size[0] // n_y, axis=0).repeat(size[1] // n_x, axis=1)
    # a box that covers all of a pixel: an average where it shrinks, shares where it grows
    return np.asarray(Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.BOX))


def _font(size_px: int) -> ImageFont.FreeTypeFont:
    # matplotlib's own: movies look alike everywhere, and its digits have one width
    from matplotlib import get_data_path

    return ImageFont.truetype(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size_px)
