"""Read single frames, keep the latest ones, and fetch those that come next."""

import threading
from collections import OrderedDict
from collections.abc import Hashable

import numpy as np
import numpy.typing as npt

from stemscale.corrections import Correction
from stemscale.errors import (
    CorrectionLostError,
    DamagedDataError,
    StemscaleError,
    StoreUnavailableError,
)
from stemscale.store import (
    AcquisitionStore,
    FramesArray,
    as_seen,
    filtered_group,
    rapid_group,
    slow_group,
)
from stemscale.viewer.correction import OneByOne
from stemscale.viewer.series import CORRECTED, RECORDED, SLOW, Series, filter_of
from stemscale.views.store_view import UNREADABLE

FloatImage = npt.NDArray[np.float32]
_CACHE_BYTES = 256 * 2**20


class NotShownError(StemscaleError):
    """An image is not there, or cannot be read; the message is a word for its panel."""


class ImageCache:
    """The images that were used last, up to a number of bytes; threads may share it.

    Parameters
    ----------
    max_bytes : int
    """

    def __init__(self, max_bytes: int = _CACHE_BYTES) -> None:
        self._held: OrderedDict[Hashable, FloatImage] = OrderedDict()
        self._room = max_bytes
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> FloatImage | None:
        """Give an image, and count it as used."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def put(self, key: Hashable, image: FloatImage) -> None:
        """Keep an image, and drop those that were not used for longest."""
        with self._lock:
            if key in self._held:
                self._room += self._held.pop(key).nbytes
            self._held[key] = image
            self._room -= image.nbytes
            while self._room < 0 and len(self._held) > 1:
                self._room += self._held.popitem(last=False)[1].nbytes


class FovReader:
    """Reads images of one field of view; threads may share it.

    Parameters
    ----------
    store : AcquisitionStore
    fov : str
    cache : ImageCache
        Its own: there is a new one when the frames may have changed.
    correction : Correction or None
        How its rapid frames are corrected.
    """

    def __init__(
        self, store: AcquisitionStore, fov: str, cache: ImageCache, correction: Correction | None
    ) -> None:
        self._store, self._fov, self.cache = store, fov, cache
        self._arrays: dict[str, FramesArray] = {}
        self._correct = None if correction is None else OneByOne(correction)

    def image(self, series: Series, key: str, frame: int) -> FloatImage:
        """Read one image.

        Parameters
        ----------
        series : Series
            As it is by now.
        key : str
            One of its images.
        frame : int

        Returns
        -------
        ndarray of float32, shape (y, x)
            [counts]; NaN = not seen.

        Raises
        ------
        NotShownError
            If it is not there, or damaged.
        """
        if word := series.why_not(key, frame):
            raise NotShownError(word)
        place = (key, 0 if key == SLOW else frame)
        found = self.cache.get(place)
        if found is None:
            try:
                found = self._read(series, key, frame)
            except CorrectionLostError as error:
                raise NotShownError(str(error)) from error
            except StoreUnavailableError as error:
                raise NotShownError("the store does not answer") from error
            except DamagedDataError as error:
                raise NotShownError("damaged: it cannot be read") from error
            except (StemscaleError, *UNREADABLE) as error:
                raise NotShownError(f"it cannot be read: {_brief(error)}") from error
            if not np.isfinite(found).any():
                raise NotShownError("nothing was seen")
            self.cache.put(place, found)
        return found

    def _read(self, series: Series, key: str, frame: int) -> FloatImage:
        if key == RECORDED:
            return self._frame(rapid_group(self._fov), frame, series.n_frames)
        if key == SLOW:
            return np.asarray(
                self._store.array(f"{slow_group(self._fov)}/image")[:], dtype=np.float32
            )
        name = filter_of(key)
        if key == CORRECTED:
            copy = series.corrected_copy(frame)
            if copy is None:
                assert self._correct is not None  # else the series has no such image
                return self._correct(self.image(series, RECORDED, frame), frame)
            name = copy.name
        assert name is not None
        view = series.filter_view(name)
        assert view is not None
        at = series.place(view, frame)
        assert at is not None
        return self._frame(filtered_group(self._fov, name), at, view.shape[0], with_fill=True)

    def _frame(self, group: str, at: int, length: int, *, with_fill: bool = False) -> FloatImage:
        array = self._arrays.get(group)
        if array is None or array.shape[0] < length:  # it has grown
            array = self._arrays[group] = self._store.frames(group)
        frame = array.read(at, at + 1)[0]
        # of a frame as recorded, 0 is a count
        return as_seen(frame) if with_fill else frame.astype(np.float32)


def _brief(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 120 else f"{text[:117]}..."
