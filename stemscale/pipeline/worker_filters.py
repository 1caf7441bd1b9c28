"""Filters as workers have them: loaded once, warm before the first frame comes."""

import tempfile

import numpy as np

from stemscale.clusters import worker_device
from stemscale.denoising import Filter, SeriesScale, denoise_frames, load_filter
from stemscale.pipeline.ledger_files import filter_file
from stemscale.pipeline.once import once
from stemscale.store import StorePath, store_path


def worker_filter(store: StorePath, sha256: str) -> Filter:
    """Give a filter that `keep_filter` kept."""
    return _filter(str(filter_file(store, sha256)))


@once(most=2)
def _filter(file: str) -> Filter:
    """Load a filter by the name of its file, which is its content hash."""
    if "://" not in file:
        return load_filter(file)
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as here:
        here.write(store_path(file).read_bytes())
        here.flush()
        return load_filter(here.name)


def warm_up(store: str, sha256: str | None, shape: tuple[int, int]) -> None:
    """Load a filter and run it once, so that the first frame need not wait for that.

    Parameters
    ----------
    store : str
        Path of the store; what is in it does not matter.
    sha256 : str or None
        Of the filter, as `keep_filter` kept it; None: there is nothing to load.
    shape : tuple of int
        (y, x) of the frames to come.
    """
    if sha256 is None:
        return
    loaded = worker_filter(store_path(store), sha256)
    frames = np.zeros((loaded.network.settings.frames_in, *shape), dtype=np.float32)
    scale = SeriesScale(center=0.0, spread=1.0)
    denoise_frames(frames, loaded, scale=scale, which=slice(0, 1), device=worker_device())
