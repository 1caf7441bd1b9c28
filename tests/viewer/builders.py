"""Small stores to be looked at, and a viewer that serves them."""

import threading
from contextlib import contextmanager

import numpy as np
from reports.builders import add_calibration, add_filtered, add_fov, new_store, put, scene

from stemscale.viewer import view

N_FRAMES = 12


def in_situ(path, *, n_frames=N_FRAMES, label="live"):
    """Two FOVs of one store: one with all there is, one with rapid frames alone."""
    new_store(path)
    options = {"n_frames": n_frames, "temperature": True}
    add_fov(path, "fov01", relation="after", **options)
    add_calibration(path, "fov01")
    add_filtered(path, "fov01", "live", filter=label, filter_card={"name": "unet"}, **options)
    add_filtered(path, "fov01", "soft", psnr=12.0, filter="gaussian", seed=5, **options)
    add_fov(path, "fov02", slow=False, n_frames=3, pixel_size_nm=None, seed=3)
    return path


def numbered(path, *, n_frames=6, shape=(40, 48)):
    """Frames without noise: all pixels of frame n are darker than those of frame n + 1."""
    new_store(path)
    ramp = np.linspace(0, 400, shape[0] * shape[1]).reshape(shape)
    frames = np.stack([1000 + 2000 * n + ramp for n in range(n_frames)]).astype(np.uint16)
    coords = {"frame": np.arange(n_frames)}
    put(path, "fov01/rapid", {"frames": (("frame", "y", "x"), frames)}, coords=coords)
    return path


@contextmanager
def served(store):
    """Serve a store; gives the address."""
    stop, answers = threading.Event(), threading.Event()
    address, failed = [], []

    def ready(url):
        address.append(url)
        answers.set()

    def run():
        try:
            view(store, browser=False, ready=ready, stop=stop)
        except BaseException as error:
            failed.append(error)
            answers.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert answers.wait(60)
        assert not failed, failed
        yield address[0]
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


__all__ = ["N_FRAMES", "in_situ", "numbered", "scene", "served"]
