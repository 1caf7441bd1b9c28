"""Small real stores of a moving scene, and movies read back."""

import re
import subprocess

import numpy as np
import xarray as xr
from imageio_ffmpeg import get_ffmpeg_exe

import stemscale
from stemscale.acquisition import image_coordinates
from stemscale.corrections import keep_distortion, keep_drift
from stemscale.store import (
    AcquisitionStore,
    commit_block,
    filtered_group,
    finish_frames,
    rapid_group,
)

BLOCK = 4


def scene(n, shape, *, noise=0.0, level=20000, depth=8000, seed=0):
    """A dark line that moves a little with every frame, and a particle that stays."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    frames = np.empty((n, *shape), dtype="uint16")
    for i in range(n):
        at = shape[1] * (0.2 + 0.6 * i / max(1, n - 1))
        image = level - depth * np.exp(-(((x - at - 0.2 * y) / (0.03 * shape[1])) ** 2))
        spot = (x - 0.7 * shape[1]) ** 2 + (y - 0.3 * shape[0]) ** 2
        image -= depth / 2 * np.exp(-spot / (0.05 * shape[1]) ** 2)
        frames[i] = np.clip(image + noise * rng.normal(size=shape), 1, 65535)
    return frames


def new_series(
    folder, frames, *, fov="fov01", temperature=None, time=None, block=BLOCK, **settings
):
    """Ingest frames; ``settings`` are those of the scan."""
    file = folder / f"{fov}.npy"
    np.save(file, frames)
    store = folder / "s.zarr"
    stemscale.ingest(store, file, fov=fov, block=block, rapid_settings=settings)
    columns = {"temperature": temperature, "time": time}
    known = {k: ("frame", np.asarray(v, float)) for k, v in columns.items() if v is not None}
    if known:
        AcquisitionStore(store).write_dataset(rapid_group(fov), xr.Dataset(coords=known))
    return store


def add_filtered(
    path,
    frames,
    name="dlf",
    *,
    fov="fov01",
    leave=(),
    fail=(),
    block=BLOCK,
    finish=True,
    run=None,
    distortion=None,
    drift=None,
    **attrs,
):
    """Write frames as `process` does; blocks to ``leave`` are pending, those to ``fail`` failed."""
    store = AcquisitionStore(path)
    group = filtered_group(fov, name)
    rapid = store.settings(rapid_group(fov))
    coordinates = {
        **image_coordinates(rapid),
        "frame": ("frame", np.arange(len(frames), dtype=np.int64)),
    }
    usual = {"state": "partial", "filter": "dlf.safetensors", "filter_card": {"a": 1}}
    about = {**usual, "run": run, **attrs}
    array = store.create_frames(
        fov,
        group,
        xr.Dataset(coords=coordinates, attrs={k: v for k, v in about.items() if v is not None}),
        rapid,
        n_frames=len(frames),
        dtype=frames.dtype,
        with_fill=True,
        long_name="filtered",
        block=block,
    )
    ledger = store.ledger(group)
    ledger.start(run or {"distortion": None, "interpolation": None})
    keep_distortion(ledger, distortion)
    keep_drift(ledger, drift)
    for index in range(array.n_blocks):
        if index not in (*leave, *fail):
            commit_block(array, ledger, index, frames[slice(*array.bounds(index))])
    if finish:
        finish_frames(store, group, ledger.records(), failed_blocks=fail)
    return store


def read_movie(file):
    """Give what ffmpeg says of a movie, and its frames (frame, y, x) as greys.

    Not by imageio_ffmpeg.read_frames, which leaves its pipes open.
    """
    command = [get_ffmpeg_exe(), "-hide_banner", "-i", str(file), "-fps_mode", "passthrough"]
    done = subprocess.run(
        [*command, "-f", "rawvideo", "-pix_fmt", "gray", "-"], capture_output=True, check=True
    )
    stream = re.search(
        r"Video: (?P<codec>\w+).*?, (?P<pix_fmt>\w+).*?, (?P<width>\d+)x(?P<height>\d+).*?"
        r", (?P<fps>[\d.]+) fps",
        done.stderr.decode(),
    )
    about = stream.groupdict()
    width, height = int(about["width"]), int(about["height"])
    frames = np.frombuffer(done.stdout, dtype=np.uint8).reshape(-1, height, width)
    return {**about, "size": (width, height), "fps": float(about["fps"])}, frames


def panels_of(picture, done, count, n_x):
    """Cut the panels of equal width out of a picture, without titles and stamps."""
    width = round(n_x * done.scale)
    column = (done.shape[1] - 4 * (count - 1)) // count
    strip = round(1.8 * int(np.clip(round(column / 27), 11, 26)))
    inside = picture[strip : done.shape[0] - strip - done.shape[0] % 2]
    starts = [i * (column + 4) + (column - width) // 2 for i in range(count)]
    return [inside[:, s : s + width] for s in starts]
