"""What the OME-XML in a TIFF file says: pixel size, interval, names of detectors, time."""

from datetime import datetime
from pathlib import Path
from typing import Any

import tifffile

from stemscale.ingestion.pixels import square_pixel_nm
from stemscale.ingestion.tags import dig
from stemscale.ingestion.units import clock_ns, to_s


def read_ome(xml: str, path: Path) -> tuple[dict[str, Any], list[str], int | None, str]:
    """Read the description of the first image.

    Parameters
    ----------
    xml : str
        OME-XML.
    path : Path
        Its file, named in errors.

    Returns
    -------
    settings : dict
        Fields of `ScanSettings`.
    channels : list of str
        Names of the channels, empty where they have none.
    start_time : int or None
        Clock time of the acquisition [ns since 1970-01-01, UTC], where it is given with its zone.
    description : str
        Free text, often empty.

    Raises
    ------
    InputFileError
        If pixels are not square.
    """
    try:
        image = _first(dig(tifffile.xml2dict(xml), "OME", "Image"))
    except Exception:  # XML that is none; the pixels are good all the same
        return {}, [], None, ""
    pixels = dig(image, "Pixels")
    steps = [dig(pixels, f"PhysicalSize{a}") for a in "YX"]
    units = [dig(pixels, f"PhysicalSize{a}Unit") or "µm" for a in "YX"]  # µm by the standard
    found: dict[str, Any] = {}
    pixel = square_pixel_nm(steps[0], steps[1], units[1], units[0], path=path)
    if pixel is not None:
        found["pixel_size_nm"] = pixel
    interval = to_s(dig(pixels, "TimeIncrement"), dig(pixels, "TimeIncrementUnit") or "s")
    if interval is not None and 0 < interval < float("inf"):
        found["frame_time_s"] = interval
    channels = dig(pixels, "Channel")
    listed = channels if isinstance(channels, list | tuple) else [channels]
    names = [str(dig(c, "Name") or "").strip() for c in listed]
    description = str(dig(image, "Description") or "")
    return found, names, _start(dig(image, "AcquisitionDate")), description


def _start(text: Any) -> int | None:
    try:
        return clock_ns(datetime.fromisoformat(str(text)))
    except ValueError:
        return None


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list | tuple) and value else value
