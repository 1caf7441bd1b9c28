"""How the recorded frames come onto the grid of the filtered ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemscale.acquisition import Frames
from stemscale.distortion import DistortionMap
from stemscale.pipeline.calibration import fingerprint, load_calibration
from stemscale.pipeline.filters import choose_filter
from stemscale.pipeline.ledger_files import load_distortion, load_drift
from stemscale.pipeline.pixels import PixelWork
from stemscale.reports.store_view import positive
from stemscale.store import AcquisitionStore, rapid_group

FloatFrames = NDArray[np.float32]

_AS_RECORDED = "as recorded"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Correction:
    """What is undone in recorded frames before they are shown.

    Attributes
    ----------
    words : str
        For the title of the panel.
    shape : tuple of int
        (n_y, n_x) of a frame afterwards.
    pixel_size_nm : float or None
        Of a frame afterwards [nm].
    same_place : bool
        Whether a pixel then shows what the same pixel of the filtered frames shows.
    work : PixelWork
        Does it.
    """

    words: str
    shape: tuple[int, int]
    pixel_size_nm: float | None
    same_place: bool
    work: PixelWork

    @property
    def undone(self) -> bool:
        """Whether anything is."""
        return self.words != _AS_RECORDED

    def __call__(self, frames: Frames, first: int) -> FloatFrames:
        """Correct frames (frame, y, x), of which ``first`` is the number of the first."""
        return self.work.correct(frames, first)


def recorded(store: AcquisitionStore, fov: str) -> Correction:
    """Leave the frames as they are."""
    size = _pixel_size(store, rapid_group(fov))
    return _correction(store, fov, pixel_size_nm=size, same_place=False)


def find_correction(store: AcquisitionStore, fov: str, filtered: Sequence[str]) -> Correction:
    """Find what brings recorded frames to where the filtered ones show the same place.

    Parameters
    ----------
    store : AcquisitionStore
    fov : str
        Field of view.
    filtered : sequence of str
        Groups of filtered frames that are shown too; the first decides.

    Returns
    -------
    Correction
        What that run of `process` undid, distortion and drift; without filtered frames, what the
        calibration of the FOV says. Nothing, where that is not known: then the words say so.
    """
    own = load_calibration(store, fov)
    if not filtered:
        if own is None:
            return recorded(store, fov)
        size = _pixel_size(store, rapid_group(fov))
        size = None if size is None else size * own.pixel_ratio
        return _correction(store, fov, pixel_size_nm=size, distortion=own.distortion)
    ledger = store.ledger(filtered[0])
    run: Any = ledger.run() or store.attrs(filtered[0]).get("run")
    if not isinstance(run, dict):
        return recorded(store, fov)
    distortion = load_distortion(ledger)
    drift = load_drift(ledger) if run.get("drift") else None
    wanted = run.get("distortion")
    if distortion is None and wanted and own is not None and fingerprint(own.distortion) == wanted:
        distortion = own.distortion  # a store that was copied without its ledgers
    if (wanted and distortion is None) or (run.get("drift") and drift is None):
        return recorded(store, fov)
    return _correction(
        store,
        fov,
        pixel_size_nm=_pixel_size(store, filtered[0]),
        distortion=distortion,
        interpolation=run.get("interpolation"),
        drift=drift,
    )


def _correction(
    store: AcquisitionStore,
    fov: str,
    *,
    pixel_size_nm: float | None,
    same_place: bool = True,
    distortion: DistortionMap | None = None,
    interpolation: Any = None,
    drift: NDArray[np.float64] | None = None,
) -> Correction:
    undone = {"distortion": distortion is not None, "drift": drift is not None}
    words = " and ".join(name for name, is_undone in undone.items() if is_undone)
    rapid_shape = store.frames(rapid_group(fov)).shape[1:]
    return Correction(
        words=f"{words} corrected" if words else _AS_RECORDED,
        shape=rapid_shape if distortion is None else distortion.shape,
        pixel_size_nm=pixel_size_nm,
        same_place=same_place,
        work=PixelWork(
            choose_filter("none"),
            distortion=distortion,
            rapid_shape=rapid_shape,
            interpolation=interpolation,
            drift=drift,
        ),
    )


def _pixel_size(store: AcquisitionStore, group: str) -> float | None:
    return positive(store.attrs(group).get("pixel_size_nm"))
