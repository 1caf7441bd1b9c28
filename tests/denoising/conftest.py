import pytest
import torch
from denoising.builders import scan_of, tiny_recipe

from stemscale.denoising import train_filter


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def learned():
    """A filter trained for some seconds on three FOVs, and what it reported."""
    events = []
    fovs = [scan_of(96, frames=6, seed=seed).fov(f"fov{seed:02}") for seed in range(1, 5)]
    trained = train_filter(fovs, recipe=tiny_recipe(), epochs=24, listener=events.append)
    return trained, events
