"""What the shipped filters make of real frames, with what can be known without truth.

    python tests/benchmarks/picture_shipped.py [--out shipped.png] [--filters standard live]
        [FILE.mrc]

By default of the pair of rapid frames in tests/data (HAADF, 0.5 µs a pixel, one scene twice). In
the difference of two frames the scene cancels. Printed are its autocorrelation along x and along y
at 1 to 5 px, raw and filtered, its standard deviation over the raw one's; and of the residual,
input less output: how it goes with the structure that the filter found in the *other* frame, whose
noise is another one (ZNCC; 0: nothing of the structure was taken away), and how much of the
residual the two frames have in common (ZNCC of both residuals; 0: it is noise). A filter that
undoes the detector's lag leaves the smear in the residual. So the same is printed once more of the
input less the output smeared again, by the response along x that brings the outputs closest to the
inputs of the other frame: what is then in common is structure that was lost. A Gaussian stands
beside, as a measure of that.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rsciio.mrc import file_reader
from scipy.ndimage import gaussian_filter

from stemscale.denoising import denoise_frames, load_filter, series_scale
from stemscale.quality import zncc
from stemscale.shipped import SHIPPED, find_filter

DATA = Path(__file__).parents[1] / "data" / "rapid_scan_pair_512.mrc"
LAGS = range(1, 6)
RESPONSE_PX = (-4, 40)  # before and after a pixel that its own intensity is recorded in
GAUSSIAN_PX = 2  # which leaves about as much noise as the shipped filters
SMOOTH_PX = 24  # of what is taken from both before they are compared: slow changes of brightness
SHOWN = np.s_[128:384, 128:384]


def autocorrelation(noise: NDArray[np.floating], axis: int) -> list[float]:
    """Correlation of an image with itself, moved along an axis."""
    moved = np.moveaxis(noise - noise.mean(), axis, -1)
    return [float((moved[..., k:] * moved[..., :-k]).mean() / moved.var()) for k in LAGS]


def flat(image: NDArray[np.floating]) -> NDArray[np.floating]:
    values = image.astype(np.float64)
    return values - gaussian_filter(values, SMOOTH_PX)


def smeared_again(
    outputs: NDArray[np.floating], inputs: NDArray[np.floating]
) -> tuple[list[NDArray[np.floating]], list[NDArray[np.floating]]]:
    """Smear two outputs as the detector did; give them, and the inputs, where both are whole.

    The response comes from each input and the output of the other frame, whose noise is another.
    """
    before, after = RESPONSE_PX
    shifts = range(before, after + 1)
    inner = slice(after, inputs.shape[-1] + before)
    moved = [[np.roll(flat(o), d, axis=1)[:, inner].ravel() for d in shifts] for o in outputs]
    seen = [flat(i)[:, inner] for i in inputs]
    response = np.linalg.lstsq(
        np.concatenate([np.stack(m, axis=1) for m in moved]),
        np.concatenate([s.ravel() for s in reversed(seen)]),
        rcond=None,
    )[0]
    return [(np.stack(m, axis=1) @ response).reshape(seen[0].shape) for m in moved], seen


def show_numbers(name: str, frames: NDArray[np.floating], raw: NDArray[np.floating]) -> None:
    noise = frames[0].astype(float) - frames[1]
    words = {
        a: " ".join(f"{c:5.2f}" for c in autocorrelation(noise, i)) for i, a in enumerate("yx")
    }
    left = noise.std() / (raw[0].astype(float) - raw[1]).std()
    print(f"{name:10} noise left {left:5.3f}   along x {words['x']}   along y {words['y']}")
    if frames is raw:
        return
    smeared, seen = smeared_again(frames, raw)
    lost = zncc(*(before - after for before, after in zip(seen, smeared, strict=True)))
    residuals = [flat(before - after) for before, after in zip(raw, frames, strict=True)]
    taken = np.mean([zncc(residuals[i], flat(frames[1 - i])) for i in (0, 1)])
    print(
        f"{'':10} residual with the structure of the other frame {taken:+.3f}, with the other "
        f"residual {zncc(*residuals):+.3f}; smeared again {lost:+.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, nargs="?", default=DATA)
    parser.add_argument("--out", type=Path, default=Path("shipped.png"))
    parser.add_argument("--filters", nargs="+", default=list(SHIPPED), help="names or files")
    options = parser.parse_args()
    raw = np.asarray(file_reader(str(options.file))[0]["data"], dtype=np.float32)
    images = {"raw": raw, "gaussian": gaussian_filter(raw, (0, GAUSSIAN_PX, GAUSSIAN_PX))}
    for name in options.filters:
        filter = load_filter(find_filter(name))
        images[Path(name).stem] = denoise_frames(raw, filter, scale=series_scale(raw))
    for name, frames in images.items():
        show_numbers(name, frames, raw)
    low, high = np.percentile(raw[0][SHOWN], [0.5, 99.5])
    figure = Figure(figsize=(4 * len(images), 16), layout="constrained")
    panels = figure.subplots(4, len(images), squeeze=False)
    spread = (raw[0] - raw[1]).std()
    for (name, frames), column in zip(images.items(), panels.T, strict=True):
        noise = (-2 * spread, 2 * spread)
        shown = [
            (name, frames[0], (low, high)),
            (f"{name}: frame 0 - frame 1", frames[0] - frames[1], noise),
        ]
        if frames is not raw:
            smeared, seen = smeared_again(frames, raw)
            lost = np.zeros_like(raw[0])
            lost[:, RESPONSE_PX[1] : RESPONSE_PX[0]] = seen[0] - smeared[0]
            shown += [
                (f"{name}: input - output", raw[0] - frames[0], noise),
                (f"{name}: input - output smeared again", lost, noise),
            ]
        for panel, (title, image, limits) in zip(column, shown, strict=False):
            panel.imshow(image[SHOWN], cmap="gray", vmin=limits[0], vmax=limits[1])
            panel.set_title(title, fontsize=10)
        for panel in column:
            panel.set_axis_off()
    figure.savefig(options.out, dpi=80)
    print(options.out)


if __name__ == "__main__":
    main()
