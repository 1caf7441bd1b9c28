"""Pictures under the microscope, and what a rapid scan would be without noise."""

import numpy as np
import pytest

from stemscale.errors import SettingsError
from stemscale.simulation import FieldOfView, PictureSpecimen, preset_settings

QUIET = preset_settings("reference").without("poisson", "readout", "lag", "jitter", "drift")


def picture(size=96):
    y, x = np.mgrid[:size, :size]
    return 50.0 + 40.0 * np.sin(x / 5.0) * np.cos(y / 7.0)


def view(settings, *, specimen=None, size=64):
    return FieldOfView(1, size=size, n_frames=1, settings=settings, seed=3, specimen=specimen)


def test_the_slow_scan_shows_the_middle_of_the_picture():
    specimen = PictureSpecimen(picture(), size=64, darkest=0.2)
    truth = view(QUIET, specimen=specimen).truth()
    middle = picture()[16:80, 16:80]
    assert np.corrcoef(truth.ravel(), middle.ravel())[0, 1] > 1 - 1e-9


def test_the_darkest_pixel_gives_the_signal_asked_for():
    signal = PictureSpecimen(picture(), size=64, darkest=0.2).image()
    sampled = signal.sample(np.arange(-16.0, 80), np.arange(-16.0, 80))
    assert (sampled.min(), sampled.max()) == pytest.approx((0.2, 1.0), abs=2e-3)  # at the edge


@pytest.mark.parametrize(
    ("image", "message"),
    [(picture(40), "larger picture"), (np.full((96, 96), 7), "every pixel is alike")],
    ids=["small", "empty"],
)
def test_pictures_that_show_too_little_are_refused(image, message):
    with pytest.raises(SettingsError, match=message):
        PictureSpecimen(image, size=64, darkest=0.2)


def test_a_picture_cannot_be_heated():
    specimen = PictureSpecimen(picture(), size=64, darkest=0.2)
    with pytest.raises(SettingsError, match="does not move"):
        FieldOfView(1, size=64, n_frames=1, settings=QUIET, in_situ=True, specimen=specimen)


def test_a_frame_without_noise_is_what_is_said_to_be_without_noise():
    fov = view(QUIET)
    rows = np.arange(64.0)
    ideal = fov.without_noise(rows, np.arange(64.0))
    np.testing.assert_allclose(fov.frame(0).counts, ideal, atol=0.5 + 1e-6)  # rounded


def test_lag_alone_is_the_difference_of_a_frame_without_noise():
    late = view(preset_settings("reference").without("poisson", "readout", "jitter", "drift"))
    grid = np.arange(64.0)
    expected = late.with_lag(late.without_noise(grid, grid))
    np.testing.assert_allclose(late.frame(0).counts, expected, atol=0.5 + 1e-6)
