import numpy as np
import pytest
from distortion.builders import make_series

from stemscale.distortion import DriftSearch
from stemscale.distortion.chain import GroupChain, _Running
from stemscale.distortion.group import FrameGroup

N = 96


def group(image, shifts, weights=None):
    ones = np.ones(len(shifts)) if weights is None else np.asarray(weights)
    mean = None if image is None else np.asarray(image, dtype=np.float32)
    return FrameGroup(mean=mean, shifts=np.asarray(shifts, dtype=float), weights=ones)


def views(*at):
    return make_series(4, N, np.array(at, dtype=float), dose=None, lag=False)


@pytest.mark.parametrize("jump", [(30.0, -4.0), (-4.0, 30.0), (-26.0, 25.0)])
def test_a_group_is_looked_for_where_the_last_frame_was(jump):
    """The scene lies far off, as the frames within the groups have told: 31 px, or 36, of 96."""
    y, x = jump
    first, second = views((0, 0), (y, x))
    chain = GroupChain(DriftSearch())
    chain.add(group(first, [(0, 0), (y - 14, x + 11)]))
    chain.add(group(second, [(-14, 11), (14, -11)]))
    found = chain.shifts - chain.shifts[0]
    np.testing.assert_allclose(found[2:], [(y - 14, x + 11), (y + 14, x - 11)], atol=0.3)


def test_a_group_is_looked_for_as_the_search_says():
    first, second = views((0, 0), (0, 20))
    here = [(0.0, 0.0)]
    for max_jump, is_found in [(0.25, True), (0.02, False)]:
        chain = GroupChain(DriftSearch(max_jump=max_jump))
        chain.add(group(first, here))
        chain.add(group(second, here))
        assert (abs(chain.shifts[1, 1] - 20) < 0.3) == is_found


def test_frames_without_contrast_keep_their_place_in_the_series():
    first, second = views((0, 0), (1, 2))
    nowhere = np.full((2, 2), np.nan)
    chain = GroupChain(DriftSearch())
    assert chain.mean() is None
    chain.add(group(None, nowhere, [0, 0]))
    chain.add(group(first, [(0, 0), (np.nan, np.nan)], [1, 0]))
    chain.add(group(None, nowhere, [0, 0]))
    chain.add(group(second, [(np.nan, np.nan), (0, 0)], [0, 1]))
    assert np.isfinite(chain.shifts).all(axis=1).tolist() == [0, 0, 1, 0, 0, 0, 0, 1]
    np.testing.assert_allclose(chain.shifts[7], [1, 2], atol=0.1)
    assert chain.weights.tolist() == [0, 0, 1, 0, 0, 0, 0, 1]


def test_the_running_mean_is_that_of_the_frames_so_far_and_takes_in_what_is_new():
    """32 frames, then 16: the newer ones count a third; of 256 and more, 16 in 256."""
    old, new = views((0, 0))[0], views((0, 0))[0] * 1.3
    old = old.astype(np.float32)
    old[:, :10] = np.nan
    seen = np.full((N, N), 16, dtype=np.float32)
    seen[-9:] = 0
    new[-9:] = np.nan
    for before, share in [(32, 1 / 3), (400, 16 / 256)]:
        running = _Running(old, before, DriftSearch())
        at = running.align(new.astype(np.float32), seen, guess=(0.0, 0.0), count=16)
        np.testing.assert_allclose(at, 0, atol=0.15)  # the borders pull
        both = np.s_[3:-15, 16:-3]
        taken = (running._mean - old)[both] / (new - old)[both]
        assert np.median(taken) == pytest.approx(share, rel=0.1)
        np.testing.assert_allclose(running._mean[3:-15, 3:7], new[3:-15, 3:7], rtol=0.08)
        np.testing.assert_array_equal(running._mean[-8:, 16:], old[-8:, 16:])


@pytest.mark.parametrize("step", [(8, 12), (17, 0), (0, -17)])
def test_the_running_mean_moves_on_with_the_scene_and_shifts_stay_on_the_first_grid(step):
    at = np.arange(6)[:, None] * [step]
    half = np.array(step) / 2
    chain = GroupChain(DriftSearch())
    for place in at:
        chain.add(group(views(place)[0], [-half, half]))
    found = chain.shifts.reshape(-1, 2, 2).mean(axis=1)
    np.testing.assert_allclose(found - found[0], at, atol=0.4)
    assert chain.mean().dtype == np.float32
