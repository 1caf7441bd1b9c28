"""Draw what undoing the drift of a real series is worth: first frame, plain mean, DCFI.

    python tests/benchmarks/picture_drift.py [SERIES.tif] [OUT.png]

By default on the crop in tests/data of an in-situ series: a dislocation line that glides in heated
titanium. Prints the drift, and the contrast of detail: the standard deviation of the difference of
two Gaussians of 2 and 12 px of each image, over the pixels that all frames saw.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tifffile
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter

from stemscale.distortion import integrate_frames

DATA = Path(__file__).parents[1] / "data" / "Ti_dislocation_line_17f_crop.tif"
DETAIL_PX = (2.0, 12.0)


def main(series: Path, out: Path) -> None:
    frames = tifffile.imread(series)
    found = integrate_frames([frames])
    drift = np.ptp(found.shifts, axis=0)
    print(f"{series.name}: {len(frames)} frames, drift {drift[0]:.1f} rows, {drift[1]:.1f} columns")
    first = -np.floor(found.shifts.min(axis=0)).astype(int)
    last = np.array(frames.shape[1:]) - np.ceil(found.shifts.max(axis=0)).astype(int)
    common = np.s_[max(0, first[0]) : last[0], max(0, first[1]) : last[1]]
    images = {
        "first frame": frames[0].astype(float),
        f"mean of {len(frames)} frames": frames.mean(axis=0),
        f"DCFI of {len(frames)} frames": found.image.astype(float),
    }
    figure = Figure(figsize=(9.6, 3.4), layout="constrained")
    panels = figure.subplots(1, 3)
    low, high = np.percentile(images["first frame"][common], [1, 99])
    for panel, (name, image) in zip(panels, images.items(), strict=True):
        cut = image[common]
        fine, coarse = (gaussian_filter(cut, width) for width in DETAIL_PX)
        detail = float((fine - coarse).std())
        print(f"{name:18} contrast of detail {detail:.2f}")
        panel.imshow(cut, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        panel.set_title(name, fontsize=10)
        panel.set_axis_off()
    figure.savefig(out, dpi=100)


if __name__ == "__main__":
    given = [Path(a) for a in sys.argv[1:]]
    source = given[0] if given else DATA
    main(source, given[1] if len(given) > 1 else Path("drift.png"))
