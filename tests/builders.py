"""Small inputs for tests, made here and never downloaded."""

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

DATA = Path(__file__).parent / "data"


def ramp_frames(n: int = 5, n_y: int = 12, n_x: int = 16, dtype: str = "uint16") -> NDArray[Any]:
    """Frames whose every pixel is different and above 0."""
    count = n * n_y * n_x
    return (np.arange(count).reshape(n, n_y, n_x) % 250 + 1).astype(dtype)


def write_stack(path: Path, frames: NDArray[Any], **info: Any) -> Path:
    """Write an ImageJ TIFF stack with scan settings as the simulator does."""
    pixel_size_nm = info.pop("pixel_size_nm", 2.0)
    interval = info.pop("frame_time_s", None)
    metadata: dict[str, Any] = {"unit": "nm", "axes": "TYX"}
    metadata["Info"] = "\n".join(f"{k}={v}" for k, v in info.items())
    if interval is not None:
        metadata["finterval"] = interval
    resolution = (1 / pixel_size_nm, 1 / pixel_size_nm)
    tifffile.imwrite(path, frames, imagej=True, resolution=resolution, metadata=metadata)
    return path


def write_image(path: Path, image: NDArray[Any], **info: Any) -> Path:
    """Write one image as a slow scan."""
    return write_stack(path, image[None], **info)
