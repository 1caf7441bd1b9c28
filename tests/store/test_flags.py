import numpy as np
import pytest
import xarray as xr

from stemscale.store import FlaggedFrames, flagged_frames, listed_frames


@pytest.mark.parametrize(
    ("frames", "most", "written"),
    [
        ([], None, ""),
        ([4], None, "4"),
        ([0, 1, 2, 64], None, "0-2, 64"),
        ([0, 2, 4, 6], 2, "0, 2, ..."),
        ([0, 2], 2, "0, 2"),
    ],
    ids=str,
)
def test_frames_are_listed_as_people_read_them(frames, most, written):
    assert listed_frames(frames, most=most) == written


def test_flags_are_counted_by_respect_and_only_of_frames_that_are_done():
    dataset = xr.Dataset(
        {
            "out_of_range": ("frame", np.array([0, 2, 3, np.nan, 5], dtype=np.float32)),
            "out_of_range_flag": (
                "frame",
                np.array([0, 2, 6, 0, 4], dtype=np.uint8),
                {"flag_masks": [1, 2, 4], "flag_meanings": "intensity noise lag"},
            ),
            "frame_status": ("frame", np.array([1, 1, 1, 1, 2], dtype=np.uint8)),
        }
    )
    found = flagged_frames(dataset)
    assert found == FlaggedFrames(
        frames=[1, 2], of=3, by_respect={"intensity": 0, "noise": 2, "lag": 1}
    )
    assert found.words() == (
        "2 of 3 frames lie outside what the filter was trained on (noise 2, lag 1): frames 1-2"
    )
    assert flagged_frames(dataset.drop_vars("out_of_range_flag")) is None
