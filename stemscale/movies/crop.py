"""The part of each picture that a movie shows."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from stemscale.errors import SettingsError

Pixel = TypeVar("Pixel", np.float32, np.float64, np.uint8)


@dataclass(frozen=True, kw_only=True, slots=True)
class Crop:
    """A rectangle [px of the picture]."""

    x: int
    y: int
    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.x},{self.y},{self.width},{self.height}"

    def of(self, image: NDArray[Pixel]) -> NDArray[Pixel]:
        """Cut it out of an image (y, x)."""
        return image[self.y : self.y + self.height, self.x : self.x + self.width]


def checked_crop(
    crop: tuple[int, int, int, int] | None, shapes: Iterable[tuple[str, tuple[int, int]]]
) -> Crop | None:
    """Refuse a rectangle that does not lie in every picture.

    Parameters
    ----------
    crop : tuple of int or None
        (x, y, width, height) [px].
    shapes : iterable of (str, (n_y, n_x))
        Title and shape of each panel.

    Returns
    -------
    Crop or None

    Raises
    ------
    SettingsError
        If it is empty, or part of it lies outside.
    """
    if crop is None:
        return None
    x, y, width, height = crop
    found = Crop(x=x, y=y, width=width, height=height)
    if width < 1 or height < 1:
        raise SettingsError(f"--crop {found} is empty: give X,Y,WIDTH,HEIGHT with sizes above 0")
    for title, (n_y, n_x) in shapes:
        if x < 0 or y < 0 or x + width > n_x or y + height > n_y:
            raise SettingsError(
                f"--crop {found} reaches outside of {title}, which is {n_x} pixels wide and {n_y} "
                f"high: give X,Y,WIDTH,HEIGHT within that"
            )
    return found
