"""A small scene, and a distortion that can be written down by hand."""

import numpy as np
from builders import write_image, write_stack

import stemscale
from stemscale.distortion import DistortionMap

RAPID_SHAPE = (24, 32)
BLOCK = 4
N_FRAMES = 11


def scene(*, seed, n=N_FRAMES):
    """Rapid frames (frame, y, x) and a slow scan (y, x) of dark lines, uint16."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: RAPID_SHAPE[0], : RAPID_SHAPE[1]]
    clean = 20000 - 6000 * np.exp(-(((x - 10 - 0.3 * y) / 2.5) ** 2))
    clean -= 5000 * np.exp(-(((y - 8 - 0.4 * x) / 2.5) ** 2))
    rapid = clean + rng.normal(0, 800, (n, *RAPID_SHAPE))
    return rapid.astype("uint16"), clean.astype("uint16")


def known_map():
    """Column c shows 0.9 c + 2 of the rapid frame; rows lie 0.5 px lower, so the last is unseen."""
    n_y, n_x = RAPID_SHAPE
    return DistortionMap(
        source_x=(0.9 * np.arange(n_x) + 2.0)[None],
        source_y=(np.arange(n_y) + 0.5)[:, None],
        rapid_shape=RAPID_SHAPE,
    )


def two_fovs(folder):
    """Ingest two FOVs of 11 frames in blocks of 4, with slow scans."""
    for fov in ("fov01", "fov02"):
        rapid, slow = scene(seed=int(fov[-1]))
        file = write_stack(folder / f"{fov}.tif", rapid, dwell_time_ns=100, flyback_time_us=25)
        slow_file = write_image(folder / f"{fov}_slow.tif", slow, dwell_time_ns=5000)
        stemscale.ingest(folder / "s.zarr", file, slow=slow_file, block=BLOCK)
    return folder / "s.zarr"
