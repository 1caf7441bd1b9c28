"""What Velox calls the images of a file: by how they were computed, and as it shows them.

The display of a computed image does not tell it from others: both the filtered and the unfiltered
iDPC are shown as ``iDPC``. Which one is which, the operation that computed it says. These names
are those that RosettaSciIO gives.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import h5py

from stemscale.ingestion.tags import dig

Entry = Mapping[str, Any]
"""The JSON document of an operation or a display."""

_DISPLAYS = ("Presentation/Displays/ImageDisplay", "Displays/ImageDisplay")
_FROM_SEGMENTS = ("SurfaceReconstructionOperation", "DpcOperation")


def shown_labels(file: h5py.File) -> dict[str, str]:
    """List what Velox shows.

    Parameters
    ----------
    file : h5py.File
        An EMD file of Velox.

    Returns
    -------
    dict of str to str
        Label of each image on display by its identifier, in the order of the file.
    """
    found: dict[str, str] = {}
    for place in _DISPLAYS:
        for about in _entries(file, place):
            label = dig(about, "display", "label") or about.get("id")
            data = about.get("dataPath")
            if isinstance(about.get("data"), str):  # from version 11 on, by a reference
                data = _json(file, about["data"]).get("dataPath")
            if isinstance(label, str) and (key := _key(data)):
                found.setdefault(key, label)
    return found


def image_names(file: h5py.File) -> dict[str, str]:
    """Name images by what they are.

    Parameters
    ----------
    file : h5py.File
        An EMD file of Velox.

    Returns
    -------
    dict of str to str
        Name by identifier of the image: computed images by their operation (``iDPC``,
        ``Filtered iDPC``, ``A-C``, ``DCFI``), others by their label or, where none is shown, the
        detector or camera that recorded them. Of an image about which nothing is said there is
        no entry.
    """
    return _recorded(file) | shown_labels(file) | _computed(file)


def _recorded(file: h5py.File) -> dict[str, str]:
    found: dict[str, str] = {}
    for kind, named_in in (("StemInput", "detector"), ("CameraInput", "cameraName")):
        for about in _operations(file, kind):
            name, key = about.get(named_in), _key(about.get("dataPath"))
            if isinstance(name, str) and name and key:
                found.setdefault(key, name)
    return found


def _computed(file: h5py.File) -> dict[str, str]:
    found: dict[str, str] = {}
    for about in _operations(file, "SurfaceReconstruction"):
        name = "iDPC" if about.get("integrationMode") == "true" else "dDPC"
        filtered = f"Filtered {name}" if about.get("enableFilter") == "true" else name
        found.setdefault(_key(about.get("unfilteredDataPath")), name)
        found.setdefault(_key(about.get("dataPath")), filtered)
    for about in _operations(file, "Mathematics"):
        if difference := _difference(about):
            found.setdefault(_key(about.get("dataPath")), difference)
    for kind, path, name in (
        ("Dpc", "dataPath", "DPC"),
        ("Integration", "dataPath", "DCFI"),
        ("Fft", "imageOutputPath", "Half FFT"),
    ):
        for about in _operations(file, kind):
            found.setdefault(_key(about.get(path)), name)
    found.pop("", None)
    return found


def _difference(about: Entry) -> str | None:
    """Name the difference of opposite segments by where DPC takes it: first x, then y."""
    outputs = about.get("outputs")
    first = outputs[0] if isinstance(outputs, list) and outputs else None
    goes_to = dig(first, "operation")
    if not isinstance(goes_to, str) or not any(o in goes_to for o in _FROM_SEGMENTS):
        return None  # a calculation of the operator's own
    return {"0": "A-C", "1": "B-D"}.get(str(dig(first, "inputIndex")))


def _operations(file: h5py.File, kind: str) -> Iterator[Entry]:
    return _entries(file, f"Operations/{kind}Operation")


def _entries(file: h5py.File, place: str) -> Iterator[Entry]:
    group = file.get(place)
    for key in group if isinstance(group, h5py.Group) else ():
        yield _json(group, key)


def _json(group: h5py.Group, path: str) -> Entry:
    try:
        found = json.loads(group[path][0])
    except (TypeError, ValueError, LookupError, OSError, RuntimeError):
        return {}  # the pixels are good without
    return found if isinstance(found, dict) else {}


def _key(data_path: Any) -> str:
    """Take the identifier of an image from its path in the file."""
    return data_path.rpartition("/")[2] if isinstance(data_path, str) else ""
