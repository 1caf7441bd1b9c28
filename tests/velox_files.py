"""Files of microscope software, as small as they can be."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

PAGE_BYTES = 60_000  # what Velox keeps for the metadata of a frame

BEGAN_US = 1_575_540_226_238_991  # 2019-12-05 10:03:46.238991 UTC


def velox_page(number: int = 0, detector: str = "HAADF", **more: Any) -> dict[str, Any]:
    """The metadata of one frame, with the entries that matter and some that do not."""
    page: dict[str, Any] = {
        "Instrument": {"InstrumentClass": "Titan"},
        "Acquisition": {"AcquisitionStartDatetime": {"DateTime": str(BEGAN_US // 10**6)}},
        "Optics": {
            "AccelerationVoltage": "300000",
            "LastMeasuredScreenCurrent": str(1e-10 * (1 + number)),
        },
        "Stage": {
            "Position": {"x": str(1e-6 + 1e-9 * number), "y": "2e-6", "z": "0"},
            "AlphaTilt": str(np.deg2rad(0.5 * number)),
            "BetaTilt": "0.1",
        },
        "Scan": {"DwellTime": "1e-07", "FrameTime": "0.04"},
        "Detectors": {"Detector-0": {"DetectorName": detector, "LiveTime": str(0.03 + number)}},
        "BinaryResult": {
            "Detector": detector,
            "PixelSize": {"width": "2.1e-09", "height": "2.1e-09"},
            "PixelUnitX": "m",
            "PixelUnitY": "m",
        },
        "CustomProperties": {
            "StemMagnification": {"type": "double", "value": "80000"},
            f"Detectors[{detector}].TimeStamp": {
                "type": "int64",
                "value": str(BEGAN_US + 40_001 * number),
            },
        },
    }
    return page | more


def write_velox(
    path: Path,
    images: dict[str, NDArray[Any]],
    *,
    pages: dict[str, list[Any]] | None = None,
    chunks: tuple[int, int, int] | bool = True,
    **storage: Any,
) -> Path:
    """Write stacks (frame, y, x) in the layout of Velox, one for each detector.

    ``pages`` holds for each detector the documents of its frames, or bytes as they are.
    """
    with h5py.File(path, "w") as file:
        file["Version"] = np.array([json.dumps({"version": "11", "format": "Velox"})], dtype="S")
        for number, (detector, frames) in enumerate(images.items()):
            key = f"{number:032x}"
            group = file.create_group(f"Data/Image/{key}")
            n, n_y, n_x = frames.shape
            each = (n_y, n_x, 1) if chunks is True else chunks  # False: in one piece
            data = group.create_dataset(
                "Data", (n_y, n_x, n), frames.dtype, chunks=each or None, **storage
            )
            for i, frame in enumerate(frames):
                data[:, :, i] = frame
            given = (pages or {}).get(detector)
            if given is None:
                given = [velox_page(i, detector) for i in range(n)]
            if given:
                texts = group.create_dataset(
                    "Metadata", (PAGE_BYTES, len(given)), "u1", chunks=(PAGE_BYTES, 1)
                )
            for i, page in enumerate(given):
                text = page if isinstance(page, bytes) else json.dumps(page).encode()
                texts[:, i] = np.frombuffer(text.ljust(PAGE_BYTES, b"\0"), dtype="u1")
            label = {"dataPath": f"/Data/Image/{key}", "display": {"label": detector}}
            file[f"Presentation/Displays/ImageDisplay/{key}"] = np.array(
                [json.dumps(label)], dtype="S"
            )
    return path
