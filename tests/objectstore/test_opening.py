"""`stemscale.open` of a URL: read here and on workers, which are told the URL and nothing else."""

import cloudpickle
import numpy as np
import pytest
from builders import ramp_frames, write_image, write_stack

import stemscale
from stemscale.clusters import connect

pytestmark = [pytest.mark.s3, pytest.mark.cluster]


@pytest.fixture
def store(bucket, tmp_path):
    frames = ramp_frames(11)
    rapid = write_stack(tmp_path / "a.tif", frames, dwell_time_ns=100)
    slow = write_image(tmp_path / "a_slow.tif", frames[0], dwell_time_ns=5000)
    stemscale.ingest(f"{bucket}/s.zarr", rapid, slow=slow, fov="a", block=4)
    return f"{bucket}/s.zarr"


def test_a_url_opens_as_a_folder_does_and_its_chunks_travel_without_secrets(store, server):
    tree = stemscale.open(store)
    assert np.array_equal(tree["a/slow/image"].values, ramp_frames(1)[0])
    frames = tree["a/rapid/frames"]
    assert frames.chunks == ((4, 4, 3), (12,), (16,))
    sent = cloudpickle.dumps(frames.data)
    assert store.encode() in sent
    assert server.secret.encode() not in sent
    assert server.key.encode() not in sent
    with connect("local", workers=1) as client:
        sums = client.compute(frames.sum(("y", "x"))).result()
    assert np.array_equal(sums.values, ramp_frames(11).sum((1, 2)))
