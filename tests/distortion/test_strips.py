import numpy as np
import pytest
from distortion.builders import make_scan, rms_after_shift

from stemscale.distortion import StripSearch, fit_strips
from stemscale.distortion.distortion_map import DistortionMap
from stemscale.distortion.strips import ColumnProducts
from stemscale.errors import DistortionError, SettingsError
from stemscale.quality import zncc

N = 256


def _piecewise_scan():
    """Rapid strips of 64 px show 64, 40, 88 and 64 px of the slow scan: cuts at 64, 104, 192."""
    borders = np.interp(np.arange(N) + 0.5, [0, 64, 128, 192, 256], [0, 64, 104, 192, 256])
    return make_scan(
        4, N, path=borders - 0.5, noise=False, lag=False, response=False, row_offset=0.0
    )


@pytest.mark.parametrize("score", ["zncc", "psnr"])
def test_the_cuts_of_a_piecewise_linear_stretch_are_found(score):
    """Rows C3 and C4: the views end alike, so rapid cuts 64, 128, 192 fall on 64, 104, 192."""
    scan = _piecewise_scan()
    search = StripSearch(min_strip_px=64, max_strip_px=64, score=score)
    distortion = fit_strips(scan.dcfi, scan.slow, search=search)
    # borders between pixels lie half a pixel before the centre of the next
    found = np.interp([63.5, 103.5, 191.5], np.arange(N), distortion.source_x[0])
    np.testing.assert_allclose(found, [63.5, 127.5, 191.5], atol=0.3)
    np.testing.assert_allclose(distortion.source_y[:, 0], np.arange(N), atol=0.1)
    assert distortion.source_x_std is None


def test_the_width_whose_finished_image_scores_highest_wins():
    """Row C5: widths of 50 px cut across the kinks, those of 64 px do not."""
    scan = _piecewise_scan()
    only = {
        width: fit_strips(
            scan.dcfi, scan.slow, search=StripSearch(min_strip_px=width, max_strip_px=width)
        )
        for width in (50, 64)
    }
    both = fit_strips(
        scan.dcfi, scan.slow, search=StripSearch(min_strip_px=50, max_strip_px=64, strip_step_px=14)
    )
    np.testing.assert_array_equal(both.source_x, only[64].source_x)
    assert not np.allclose(both.source_x, only[50].source_x)


def test_scores_from_column_products_are_those_of_the_images():
    scan = make_scan(4, 96, noise=False, lag=False)
    products = ColumnProducts.of(scan.dcfi, scan.slow, DistortionMap.identity((96, 96)), 39)
    source = np.clip(np.arange(96) * 0.9 + 3.3, 0, 95)
    from stemscale.distortion.columns import normalised

    rapid, slow = (normalised(i, background_px=39, smooth_px=1) for i in (scan.dcfi, scan.slow))
    base = np.floor(source).astype(int)
    f = source - base
    moved = rapid[:, base] * (1 - f) + rapid[:, np.minimum(base + 1, 95)] * f
    assert products.score(source, "zncc") == pytest.approx(zncc(moved, slow), abs=1e-4)
    error = np.mean((moved / rapid.std() - slow / slow.std()) ** 2)
    assert products.score(source, "psnr") == pytest.approx(-10 * np.log10(error), abs=1e-3)


@pytest.mark.parametrize("score", ["zncc", "psnr"])
def test_a_smooth_distortion_is_found_to_a_pixel_under_noise_and_lag(score):
    """Rows C1 to C6."""
    scan = make_scan(6, N)
    distortion = fit_strips(scan.dcfi, scan.slow, search=StripSearch(strip_step_px=3, score=score))
    assert rms_after_shift(distortion.source_x, scan.source_x) < 1.0
    assert rms_after_shift(np.arange(N), scan.source_x) > 3.0
    assert (np.diff(distortion.source_x[0]) > 0.3).all()


def test_a_slow_scan_on_twice_the_pixels_gives_the_same_map():
    scan = make_scan(6, 128)
    search = StripSearch(strip_step_px=5)
    coarse = fit_strips(scan.dcfi, scan.slow, search=search)
    fine = fit_strips(scan.dcfi, np.kron(scan.slow, np.ones((2, 2))), search=search)
    assert fine.shape == (256, 256)
    pairs = fine.source_x[0].reshape(-1, 2).mean(axis=1)
    assert rms_after_shift(pairs, coarse.source_x[0]) < 0.5


def test_another_area_and_a_frame_too_narrow_are_refused():
    with pytest.raises(DistortionError, match="same area"):
        fit_strips(make_scan(1, 128).dcfi, make_scan(55, 128).slow)
    scan = make_scan(1, 128)
    with pytest.raises(DistortionError, match="too narrow"):
        fit_strips(scan.dcfi, scan.slow, search=StripSearch(min_strip_px=80))


def test_the_defaults_are_the_papers():
    """Rows C1, C4, C5, quoted."""
    search = StripSearch()
    assert (search.min_stretch, search.max_stretch) == (-0.5, 1.0)
    assert (search.min_strip_px, search.max_strip_px, search.strip_step_px) == (10, 100, 1)
    assert search.views.template_px == 50


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_stretch": -1.0},
        {"max_stretch": -0.1},
        {"min_strip_px": 2},
        {"max_strip_px": 5},
        {"strip_step_px": 0},
        {"score": "mse"},
    ],
)
def test_a_search_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(SettingsError):
        StripSearch(**wrong)


def test_a_search_may_go_to_its_limits():
    search = StripSearch(min_stretch=0, max_stretch=0, min_strip_px=4, max_strip_px=4)
    assert (search.min_strip_px, search.max_strip_px) == (4, 4)
