import importlib.util
import sys

import numpy as np
import pytest
from denoise.builders import scan_of

from stemscale.denoise import bm3d_frames
from stemscale.denoise.classical import noise_sigma
from stemscale.errors import FilterError, FrameShapeError
from stemscale.quality import psnr_without_background

needs_bm3d = pytest.mark.skipif(
    importlib.util.find_spec("bm3d") is None,
    reason="needs the package bm3d (pip install bm3d; non-commercial licence)",
)


def test_the_noise_is_found_beside_the_scene():
    scan = scan_of(128, seed=1)
    noisy = 300 * scan.truth + np.random.default_rng(0).normal(0, 500, scan.truth.shape)
    assert noise_sigma(noisy) == pytest.approx(500, rel=0.05)


def test_the_noise_of_a_smeared_frame_is_not_taken_for_less():
    # correlated along x by a filter of unit power: along y the noise is white and unchanged
    white = np.random.default_rng(1).normal(0, 100, (200, 201))
    smeared = (white[:, 1:] + white[:, :-1]) / np.sqrt(2)
    assert noise_sigma(smeared) == pytest.approx(100, rel=0.05)


def test_unseen_pixels_have_no_noise():
    noisy = np.random.default_rng(2).normal(0, 10, (100, 100))
    noisy[:, :30] = np.nan
    assert noise_sigma(noisy) == pytest.approx(10, rel=0.1)
    assert noise_sigma(np.full((9, 9), np.nan)) == 0


def test_without_the_package_the_word_bm3d_says_what_to_install(monkeypatch):
    """Row F7."""
    monkeypatch.setitem(sys.modules, "bm3d", None)
    with pytest.raises(FilterError, match=r"stemscale\[bm3d\].*non-commercial"):
        bm3d_frames(np.zeros((1, 8, 8)))


@needs_bm3d
@pytest.mark.filterwarnings("ignore")  # of the package, at its import
def test_bm3d_removes_noise_and_keeps_the_scale():
    """Row F7."""
    scan = scan_of(64, frames=1, seed=3)
    noisy = 300 * scan.truth + np.random.default_rng(0).normal(0, 900, (1, 64, 64))
    noisy[0, :, 60:] = np.nan
    filtered = bm3d_frames(noisy)
    before, after = (psnr_without_background(f[0], scan.truth) for f in (noisy, filtered))
    assert after > before + 3
    assert np.nanmean(filtered) == pytest.approx(np.nanmean(noisy), rel=0.02)
    np.testing.assert_array_equal(np.isnan(filtered), np.isnan(noisy))


@needs_bm3d
@pytest.mark.filterwarnings("ignore")
def test_bm3d_refuses_what_it_cannot_filter():
    with pytest.raises(FrameShapeError):
        bm3d_frames(np.zeros((8, 8)))
    with pytest.raises(FilterError, match="sigma"):
        bm3d_frames(np.zeros((1, 8, 8)), sigma=-1.0)
