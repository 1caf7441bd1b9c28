"""A watch into a store in an object store."""

import numpy as np
import pytest
from builders import ramp_frames
from watching import Watching, append, mrc_bytes, recorded, until

import stemscale
from stemscale.store import AcquisitionStore

pytestmark = pytest.mark.s3


def test_a_series_grows_in_a_bucket(bucket, tmp_path):
    frames, file, store = ramp_frames(11), tmp_path / "a.mrc", f"{bucket}/s.zarr"
    with Watching(store, file) as watching:
        append(file, mrc_bytes(frames[:6], 0))
        until(lambda: recorded(store) == 6)
        found = AcquisitionStore(store).dataset("a/rapid")
        np.testing.assert_array_equal(found["frames"], frames[:6])
        append(file, frames[6:].tobytes())
        watching.wait_for(11)
        assert watching.end().n_frames == 11
    found = AcquisitionStore(store)
    np.testing.assert_array_equal(found.frames("a/rapid").read(0, 11), frames)
    assert found.attrs("a/rapid")["state"] == "complete"
    assert stemscale.verify(store).damage == []
    assert Watching(store, file, until_idle_s=0.3).result().skipped
