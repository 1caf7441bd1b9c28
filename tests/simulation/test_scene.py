"""Dislocations in bright field, and what heating does to them (row D6)."""

from dataclasses import replace

import numpy as np
import pytest

from stemscale.errors import SettingsError
from stemscale.simulation import HeatingSettings, SceneSettings
from stemscale.simulation.dislocations import Dislocation, draw_dislocations
from stemscale.simulation.heating import temperature_degc, thermal_age_s
from stemscale.simulation.scene import Scene, SceneImage

SPARSE = SceneSettings(
    lines_per_um2=0, loops_per_um2=0, tangles_per_um2=0, arrays_per_um2=0, dots_per_um2=0,
    bend_contours=0, thickness_depth=0.0,
)  # fmt: skip


def scene_with(line: Dislocation, *, size: int = 128, pixel_size_nm: float = 2.0) -> np.ndarray:
    scene = Scene(SPARSE, (size, size), pixel_size_nm, np.random.default_rng(0))
    scene._moving = [line]
    return sample(scene.image())


def sample(image: SceneImage, size: int = 128) -> np.ndarray:
    return image.sample(np.arange(size) * 1.0, np.arange(size) * 1.0)


def upright(x_nm: float, *, depth: float, fwhm_nm: float) -> Dislocation:
    y = np.arange(0.0, 800.0)
    points = np.stack([y, np.full(800, x_nm)], axis=1)
    return Dislocation(points=points, depth=np.full(800, depth), fwhm_nm=fwhm_nm)


@pytest.mark.parametrize("fwhm_nm", [8.4, 14.0])
def test_a_line_has_the_depth_and_width_asked_for(fwhm_nm):
    # margin 36 px and pixels of 2 nm: column 60 lies 192 nm from the edge of what is drawn
    row = scene_with(upright(192.0, depth=0.5, fwhm_nm=fwhm_nm))[64]
    absorbed = -np.log(row)
    assert np.argmax(absorbed) == 60
    assert absorbed[60] == pytest.approx(0.5, rel=0.02)
    at_half = np.interp([60 + fwhm_nm / 4, 60 - fwhm_nm / 4], np.arange(128), absorbed)
    np.testing.assert_allclose(at_half, 0.25, atol=0.02)


def test_a_line_may_lie_between_pixels():
    absorbed = -np.log(scene_with(upright(192.5, depth=0.5, fwhm_nm=10.0))[64])
    centre = (absorbed @ np.arange(128)) / absorbed.sum()
    assert centre == pytest.approx(60.25, abs=0.01)


def test_sampling_on_pixels_gives_them_back_and_between_them_is_smooth():
    field = Scene(SceneSettings(), (64, 64), 2.1, np.random.default_rng(3)).image()
    on, beside = (field.sample(np.arange(64.0), np.arange(64.0) + dx) for dx in (0.0, 1.0))
    np.testing.assert_allclose(on[:, 1:], beside[:, :-1], atol=1e-12)
    between = field.sample(np.arange(64.0), np.arange(64.0) + 0.5)
    assert np.abs(between - 0.5 * (on + beside)).max() < 0.05
    by_line = field.sample(np.arange(64.0), np.tile(np.arange(64.0) + 0.5, (64, 1)))
    np.testing.assert_allclose(by_line, between, atol=1e-12)


def test_scene_is_bright_with_dark_lines():
    scene = sample(Scene(SceneSettings(), (256, 256), 2.1, np.random.default_rng(1)).image(), 256)
    assert 0 < scene.min() < 0.4
    assert scene.max() <= 1.001
    assert np.median(scene) > 0.7


def test_seed_alone_decides():
    a, b, c = (Scene(SceneSettings(), (64, 64), 2.1, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(sample(a.image(), 64), sample(b.image(), 64))
    assert not np.allclose(sample(a.image(), 64), sample(c.image(), 64))


def test_pixels_too_coarse_for_the_lines_are_refused():
    with pytest.raises(SettingsError, match=r"pixel_size_nm is 10.*9 nm"):
        Scene(SceneSettings(), (64, 64), 10.0, np.random.default_rng(0))


def test_without_heating_nothing_moves():
    lines = draw_dislocations(SceneSettings(), (1000, 1000), np.random.default_rng(0))
    assert lines
    assert all(line.travel_nm is None for line in lines)


def test_heating_lets_lines_glide_and_loops_shrink_and_leaves_some_pinned():
    """Row D6, in situ: they glide and annihilate."""
    heating = HeatingSettings(motion_s=(1.0, 2.0))
    settings = SceneSettings(lines_per_um2=40, loops_per_um2=40)
    lines = draw_dislocations(settings, (1000, 1000), np.random.default_rng(0), heating=heating)
    fates = [(line.travel_nm is not None, line.annihilates) for line in lines]
    assert {(False, False), (True, False), (True, True)} <= set(fates)
    for line in lines:
        points, depth = line.at(0.0)
        np.testing.assert_allclose(points, line.points)
        np.testing.assert_allclose(depth, line.depth)
        points, depth = line.at(1000.0)
        if line.annihilates:
            np.testing.assert_array_equal(depth, 0)
        elif line.travel_nm is not None:
            np.testing.assert_allclose(points, line.points + line.travel_nm)


def test_a_pair_meets_where_it_annihilates():
    heating = HeatingSettings(mobile_share=1.0)
    only_lines = replace(SPARSE, lines_per_um2=60)
    lines = draw_dislocations(only_lines, (1000, 1000), np.random.default_rng(0), heating=heating)
    gone = [line for line in lines if line.annihilates]
    assert gone
    for one, other in zip(gone[::2], gone[1::2], strict=True):
        np.testing.assert_allclose(one.at(1e9)[0], other.at(1e9)[0], atol=1e-6)
        apart = np.hypot(*(one.points - other.points).T)
        assert apart.min() > 10


def test_a_line_that_bows_out_stays_as_dark():
    straight = upright(192.0, depth=0.5, fwhm_nm=10.0)
    # Twice as long: the points spread evenly along y.
    travel = np.stack([straight.points[:, 0] - 200.0, np.zeros(800)], axis=1)
    bowed = replace(straight, travel_nm=travel, motion_s=1e-3)
    points, depth = bowed.at(1e3)
    np.testing.assert_allclose(np.diff(points[:, 0]), 2.0)
    np.testing.assert_allclose(depth, 1.0)


def test_temperature_ramps_and_is_held():
    """Row D6: 90–150 °C at 1 °C/s, then held."""
    heating = HeatingSettings()
    found = [temperature_degc(t, heating) for t in (0.0, 30.0, 60.0, 500.0)]
    assert found == [90.0, 120.0, 150.0, 150.0]


def test_thermal_age_is_the_integral_of_the_arrhenius_rate():
    heating = HeatingSettings(activation_ev=0.5)
    t = np.linspace(0, 100.0, 200_001)
    kelvin = np.minimum(90 + t, 150) + 273.15
    rate = np.exp(0.5 / 8.617333e-5 * (1 / 363.15 - 1 / kelvin))
    assert thermal_age_s(100.0, heating) == pytest.approx(np.trapezoid(rate, t), rel=1e-6)
    assert thermal_age_s(0.0, heating) == 0
    assert thermal_age_s(7.0, HeatingSettings(activation_ev=0.0)) == pytest.approx(7.0)
