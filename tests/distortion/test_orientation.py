import numpy as np
import pytest
from distortion.builders import make_scan

from stemscale.distortion.grids import onto_pixel_count
from stemscale.distortion.orientation import find_turn

N = 128
HOW = {"background_px": 33, "max_row_offset": 0.05}


@pytest.fixture(scope="module")
def scan():
    return make_scan(1, N)


def turned(dcfi, slow, score=0.2):
    return find_turn(dcfi, slow, score, **HOW)


def test_frames_that_lie_as_the_slow_scan_does_are_not_turned(scan):
    assert turned(scan.dcfi, scan.slow, score=0.8) is None


def test_a_flip_is_found_where_part_of_the_frames_was_not_seen():
    scan = make_scan(1, 288)  # compared with fewer pixels
    dcfi = scan.dcfi[:, ::-1].copy()
    dcfi[:, :6] = np.nan
    dcfi[:3] = np.nan
    words, zncc = turned(dcfi, scan.slow)
    assert words.startswith("flipped along x")
    assert zncc > 0.5


def test_of_frames_that_are_not_square_only_turns_that_keep_their_shape_are_believed(scan):
    wide = scan.dcfi[: N // 2]
    slow = scan.slow[: scan.slow.shape[0] // 2]
    words, _ = turned(wide[::-1], slow)
    assert words == "flipped along y"
    transposed = onto_pixel_count(scan.dcfi.T, (N // 2, N))
    assert turned(scan.dcfi.T, scan.slow)[0].startswith("transposed")
    assert turned(transposed, scan.slow) is None


def test_a_turn_must_agree_better_by_a_tenth(scan):
    words, zncc = turned(scan.dcfi[::-1], scan.slow)
    assert turned(scan.dcfi[::-1], scan.slow, score=zncc - 0.11) == (words, zncc)
    assert turned(scan.dcfi[::-1], scan.slow, score=zncc - 0.09) is None


def test_rows_of_turned_frames_may_lie_off_by_what_is_asked_for():
    scan = make_scan(1, N)
    slow = np.roll(scan.slow, 12, axis=0)
    zncc = {}
    for share in (0.12, 0.05):
        _, zncc[share] = find_turn(
            scan.dcfi[:, ::-1], slow, 0.2, background_px=33, max_row_offset=share
        )
    assert zncc[0.12] > 0.9
    assert zncc[0.05] < 0.6
