"""Everything that RosettaSciIO reads, as a series of frames."""

import importlib
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemscale.acquisition import Frames, ScanSettings, check_dtype
from stemscale.errors import InputFileError
from stemscale.ingestion.mdoc import read_mdoc
from stemscale.ingestion.tags import settings_from_tags
from stemscale.ingestion.units import to_nm, to_s

logger = logging.getLogger(__name__)

# By extension, since several plugins claim the same one; lazy, so that only what is asked is read.
_READERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".emd": ("emd", {"lazy": True, "select_type": "images", "load_SI_image_stack": True}),
    ".dm3": ("digitalmicrograph", {"lazy": True}),
    ".dm4": ("digitalmicrograph", {"lazy": True}),
    ".ser": ("tia", {"lazy": True}),
    ".emi": ("tia", {"lazy": True}),
    ".mrc": ("mrc", {"lazy": True}),
    ".hspy": ("hspy", {"lazy": True}),
    ".tif": ("tiff", {"lazy": True}),
    ".tiff": ("tiff", {"lazy": True}),
    ".png": ("image", {}),
    ".jpg": ("image", {}),
}


def readable_extensions() -> list[str]:
    """Extensions of the files that can be ingested."""
    return sorted(_READERS)


class RosettaSource:
    """A series, or one image, in a file that RosettaSciIO reads.

    Parameters
    ----------
    path : Path
        The file.
    detector : str or None
        Which signal, where the file has several.

    Raises
    ------
    InputFileError
        If the file cannot be read, holds no image, or several and none was chosen.
    """

    def __init__(self, path: Path, detector: str | None = None) -> None:
        self.name = path.name
        signal = _choose(_load(path), path, detector)
        self._data = signal["data"]
        if self._data.ndim == 2:
            self._data = self._data[None]
        check_dtype(np.dtype(self._data.dtype), source=path.name)
        self.n_frames = int(self._data.shape[0])
        self.dtype = np.dtype(self._data.dtype).newbyteorder("=")
        self.settings = _settings(signal, self._data.shape)
        self.per_frame: dict[str, NDArray[np.float64]] = {}
        if path.suffix.lower() == ".mrc":
            self.settings, self.per_frame = read_mdoc(path, self.settings, self.n_frames)

    def read(self, start: int, stop: int) -> Frames:
        """Read frames ``start`` to ``stop`` (exclusive).

        Raises
        ------
        InputFileError
            If the file ends before, or is damaged there.
        """
        try:
            return np.asarray(self._data[start:stop], dtype=self.dtype)
        except Exception as error:  # third-party parsers raise whatever they like
            raise InputFileError(
                f"{self.name}: frames {start} to {stop - 1} cannot be read ({error}): "
                f"copy the file again from the microscope"
            ) from error


def _load(path: Path) -> list[dict[str, Any]]:
    plugin, options = _READERS[path.suffix.lower()]
    reader = importlib.import_module(f"rsciio.{plugin}").file_reader
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata that we read ourselves or do not need
            found: list[dict[str, Any]] = reader(str(path), **options)
    except Exception as error:  # third-party parsers raise whatever they like
        detail = " ".join(str(error).split()) or type(error).__name__
        raise InputFileError(
            f"{path} cannot be read ({detail}): it is truncated, damaged or not "
            f"what its extension says; copy it again from the microscope"
        ) from error
    return found


def _choose(signals: list[dict[str, Any]], path: Path, detector: str | None) -> dict[str, Any]:
    for signal in signals:
        shape = signal["data"].shape
        names = [str(a.get("name")) for a in signal["axes"]]
        if (len(shape) in (3, 4) and shape[-1] in (3, 4) and "RGB" in "".join(names).upper()) or (
            signal["data"].dtype.names
        ):
            raise InputFileError(
                f"{path} is a colour image: export the detector signal itself (one number a "
                f"pixel), not a screenshot"
            )
    images = [
        s
        for s in signals
        if s["data"].ndim in (2, 3) and min(s["data"].shape) > 0 and not s["data"].dtype.names
    ]
    named = [(str(s["metadata"].get("General", {}).get("title", "")), s) for s in images]
    if detector is not None:
        named = [(t, s) for t, s in named if t == detector] or _none_of(named, path, detector)
    if not named:
        raise InputFileError(f"{path} holds no image and no series of images")
    if len(named) > 1:
        listed = ", ".join(f"{t or '(no title)'} {s['data'].shape}" for t, s in named)
        raise InputFileError(
            f"{path} holds {len(named)} signals: choose one with --detector NAME ({listed})"
        )
    return named[0][1]


def _none_of(named: list[tuple[str, Any]], path: Path, detector: str) -> list[tuple[str, Any]]:
    listed = ", ".join(t for t, _ in named) or "none"
    raise InputFileError(f"{path} has no signal named {detector!r}: it has {listed}")


def _settings(signal: dict[str, Any], shape: tuple[int, ...]) -> ScanSettings:
    axes = signal["axes"]
    x, y = axes[-1], axes[-2]
    found = settings_from_tags(signal["original_metadata"])
    found |= {k: v for k, v in settings_from_tags(signal["metadata"]).items() if k not in found}
    size_x, size_y = (to_nm(a["scale"], a["units"]) for a in (x, y))
    if size_x and size_y and abs(size_x - size_y) > 1e-3 * size_x:
        raise InputFileError(
            f"{signal['metadata']['General'].get('original_filename', 'file')}: pixels of "
            f"{size_x:g} x {size_y:g} nm are not square: resample them before"
        )
    if size_x and size_x > 0:
        found["pixel_size_nm"] = size_x
    if len(axes) == 3 and "frame_time_s" not in found and (axes[0].get("scale") or 0) > 0:
        interval = to_s(axes[0]["scale"], axes[0]["units"])
        if interval:
            found["frame_time_s"] = interval
    title = str(signal["metadata"].get("General", {}).get("title", ""))
    if title and "detector" not in found:
        found["detector"] = title
    return ScanSettings(n_x=shape[-1], n_y=shape[-2], **found)
