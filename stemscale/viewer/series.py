"""One field of view as it is looked at: which images there are, frame by frame."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stemscale.store import DAMAGED, DONE, FAILED
from stemscale.views.store_view import FilterView, FovView

FloatArray = npt.NDArray[np.float64]

RECORDED, CORRECTED, FILTERED, SLOW = "recorded", "corrected", "filtered", "slow"
_SEPARATOR = ":"
NOT_YET = "not filtered yet"
_WORDS = {FAILED: "failed: no frame", DAMAGED: "damaged in the input"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """Pixels of an image, and their size on the page's axes."""

    shape: tuple[int, int]  # (y, x)
    pixel: float  # [nm], or rapid pixels where the pixel size is not known

    @property
    def width(self) -> float:
        """Along x, in the units of the axes."""
        return self.shape[1] * self.pixel

    @property
    def height(self) -> float:
        """Along y, in the units of the axes."""
        return self.shape[0] * self.pixel


def filtered_key(name: str) -> str:
    """Key of the image that a filter made."""
    return f"{FILTERED}{_SEPARATOR}{name}"


def filter_of(key: str) -> str | None:
    """Name of the filter that made an image, or None of the others."""
    role, _, name = key.partition(_SEPARATOR)
    return name if role == FILTERED and name else None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Series:
    """A field of view, what is known of its frames, and what can be shown of it.

    Attributes
    ----------
    fov : FovView
        Its filters' statuses and scores are those of now.
    recorded : ndarray of bool, shape (frame,)
        Which rapid frames are there.
    flags : mapping of str to ndarray of bool, shape (frame of the filter,)
        By name of the filter: frames outside what it was trained on.
    corrected_grid : tuple of int or None
        (y, x) of corrected frames; None where nothing tells how to correct them.
    pixel_ratio : float
        Nominal pixel size of corrected frames over that of rapid ones.
    """

    fov: FovView
    recorded: npt.NDArray[np.bool_]
    flags: Mapping[str, npt.NDArray[np.bool_]]
    corrected_grid: tuple[int, int] | None
    pixel_ratio: float

    @property
    def n_frames(self) -> int:
        """Frames of the series by now."""
        return self.fov.shape[0]

    @property
    def newest(self) -> int:
        """Number of the last frame that is there; 0 before the first one."""
        there = np.flatnonzero(self.recorded)
        return int(there[-1]) if there.size else 0

    @property
    def known_size(self) -> bool:
        """Whether lengths are in nm."""
        return self.fov.pixel_size_nm is not None

    @property
    def unit(self) -> str:
        """Unit of the axes."""
        return "nm" if self.known_size else "px"

    @property
    def filters(self) -> tuple[str, ...]:
        """Names of the filters, those that work frame by frame first."""
        each: list[str] = []
        whole: list[str] = []
        for found in self.fov.filters:
            if found.kind != "none":
                (whole if self.is_average(found) else each).append(found.name)
        return (*each, *whole)

    @property
    def images(self) -> tuple[str, ...]:
        """Keys of all images there are, in reading order."""
        keys = [RECORDED]
        if self.corrected_grid is not None:
            keys.append(CORRECTED)
        keys += [filtered_key(name) for name in self.filters]
        if self.fov.slow is not None:
            keys.append(SLOW)
        return tuple(keys)

    def is_average(self, found: FilterView) -> bool:
        """Tell whether a filter made one image of the whole series."""
        return found.is_average and self.n_frames > 1

    def filter_view(self, name: str) -> FilterView | None:
        """Give what is known of a filter's output, or None where there is none of that name."""
        return next((f for f in self.fov.filters if f.name == name), None)

    def corrected_copy(self, frame: int) -> FilterView | None:
        """Give the corrected frames as they are stored, if they are and this one is done."""
        for found in self.fov.filters:
            if found.kind == "none" and found.shape[1:] == self.corrected_grid:
                at = self.place(found, frame)
                if at is not None and found.status[at] == DONE:
                    return found
        return None

    def place(self, found: FilterView, frame: int) -> int | None:
        """Where a frame of the series lies in a filter's output, or None where it does not."""
        if self.is_average(found):
            return 0
        at = int(np.searchsorted(found.frame_numbers, frame))
        there = at < found.frame_numbers.size and found.frame_numbers[at] == frame
        return at if there else None

    def why_not(self, key: str, frame: int) -> str | None:
        """Say why an image cannot be shown yet; None where it can.

        Parameters
        ----------
        key : str
            One of `images`, or of a filter that is gone.
        frame : int
            Number in the series.
        """
        if key == SLOW:
            return None if self.fov.slow is not None else "no slow scan"
        name = filter_of(key)
        if name is None:
            if key == CORRECTED and self.corrected_grid is None:
                return "not calibrated"
            there = frame < self.recorded.size and self.recorded[frame]
            return None if there else "not recorded yet"
        found = self.filter_view(name)
        if found is None:
            return "not filtered"
        at = self.place(found, frame)
        if at is None or at >= found.status.size:
            return NOT_YET
        status = int(found.status[at])
        return None if status == DONE else _WORDS.get(status, NOT_YET)

    def grid(self, key: str) -> Grid:
        """Pixels of an image on the common axes: images of one view have one width there."""
        fov = self.fov
        own = fov.pixel_size_nm if self.known_size else 1.0
        assert own is not None
        width = fov.shape[2] * own
        if key == RECORDED:
            return Grid(shape=fov.shape[1:], pixel=own)
        if key == CORRECTED:
            assert self.corrected_grid is not None
            return Grid(shape=self.corrected_grid, pixel=own * self.pixel_ratio)
        if key == SLOW:
            assert fov.slow is not None
            shape, size = fov.slow.shape, fov.slow.pixel_size_nm
        else:
            found = self.filter_view(filter_of(key) or "")
            assert found is not None
            shape, size = found.shape[1:], found.pixel_size_nm
        known = size if self.known_size else None
        return Grid(shape=(shape[0], shape[1]), pixel=known or width / shape[1])

    def psnr_db(self, key: str, frame: int) -> float | None:
        """PSNR of an image against the slow scan [dB], where it is known."""
        name = filter_of(key)
        if name is None and key != CORRECTED:
            return None
        for found in self.fov.filters:
            if name in (None, found.name) and (name or not self.is_average(found)):
                at = self.place(found, frame)
                values = found.scores.get("psnr" if name else "psnr_rapid")
                if at is not None and values is not None and at < values.size:
                    value = float(values[at])
                    if np.isfinite(value) and found.status[at] == DONE:
                        return value
        return None

    def times(self) -> FloatArray | None:
        """Time of each frame [s], or None where it is not known of all."""
        time = self.fov.time
        if time is None or time.size < self.n_frames or not np.isfinite(time).all():
            return None
        return time[: self.n_frames]

    def outside(self, name: str, frame: int) -> bool:
        """Tell whether a frame lies outside what a filter was trained on."""
        found, flags = self.filter_view(name), self.flags.get(name)
        at = None if found is None else self.place(found, frame)
        return bool(flags is not None and at is not None and at < flags.size and flags[at])
