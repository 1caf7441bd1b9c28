import csv
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text
from reports.builders import (
    add_calibration,
    add_dcfi,
    add_filtered,
    add_fov,
    counts,
    frame_coordinates,
    new_store,
    put,
    scene,
)

from stemscale.quality import (
    agreement_cutoff,
    horizontal_profile,
    min_max_scale,
    power_spectrum,
)
from stemscale.reports import ScoreRow, Statistic
from stemscale.reports.corrected_fov import read_correction
from stemscale.reports.display import prepare
from stemscale.reports.in_situ import end_scores
from stemscale.reports.plots import FOV_PLOTS
from stemscale.reports.plots.contours import contours_plot
from stemscale.reports.plots.distortion import correction_plot, distortion_plot
from stemscale.reports.plots.fourier import averaged, fourier_plot
from stemscale.reports.plots.frames import frames_plot
from stemscale.reports.plots.images import images_plot
from stemscale.reports.plots.line_profile import line_profile_plot
from stemscale.reports.plots.scores import bands_plot, scores_plot
from stemscale.reports.plots.series import series_plot
from stemscale.reports.plots.spectra import running_mean, spectrum_cutoffs, spectrum_plot
from stemscale.reports.shots import read_shots
from stemscale.reports.style import figure_style, figure_text, looks
from stemscale.store import FlaggedFrames
from stemscale.views.store_view import read_store

SHAPE = (96, 128)


@pytest.fixture(autouse=True)
def style():
    with figure_style():
        yield


def row(type_="rapid", group="held-out", mean=16.0, **more):
    return ScoreRow(
        type=type_,
        fov_group=group,
        n_fovs=1,
        n_frames=3,
        psnr_mean_db=mean,
        psnr_std_db=0.3,
        **more,
    )


def in_decibels(score, mean, band=""):
    return Statistic(score=score, band=band, units="dB", long_name="", mean=mean, std=0.2)


def prepared(path):
    view = read_store(path)
    shots = read_shots(view, view.fovs[0])
    return shots, prepare(shots)


def fov_of(path):
    (fov,) = read_store(path).fovs
    return fov


@pytest.fixture
def store(tmp_path):
    """One FOV with all kinds of images."""
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, shape=SHAPE)
    add_dcfi(path, shape=SHAPE)
    add_filtered(path, shape=SHAPE)
    return path


def texts(figure):
    return [t.get_text() for t in figure.findobj(Text) if t.get_text()]


def table(plot):
    rows = list(csv.DictReader(io.StringIO(plot.csv())))
    assert rows
    return rows


def smeared(image, tail_px):
    """What a lag makes of each row: it arrives late, to the right."""
    kernel = np.exp(-np.arange(40) / tail_px)
    kernel /= kernel.sum()
    rows = [np.convolve(np.r_[np.full(60, r[0]), r], kernel)[60 : 60 + r.size] for r in image]
    return np.array(rows)


def store_with_smear(path):
    """Rapid frames with a lag, a filter that took it away, and a slow scan without one."""
    new_store(path)
    add_fov(path, shape=SHAPE)
    put(
        path,
        "fov01/filtered/smeared",
        {"frames": (("frame", "y", "x"), np.stack([counts(smeared(scene(SHAPE), 8.0))] * 3))},
        coords=frame_coordinates(3),
        attrs={"filter": "x.safetensors", "state": "complete"},
        fill=np.uint16(0),
    )
    add_filtered(path, shape=SHAPE)
    return path


# --- images of one field of view -----------------------------------------------------------


@pytest.mark.parametrize("draw", FOV_PLOTS, ids=lambda d: d.__name__)
def test_every_figure_has_an_image_numbers_and_words(store, draw):
    plot = draw(*prepared(store))
    assert plot.uri().startswith(("data:image/svg+xml;base64,", "data:image/webp;base64,"))
    assert plot.fov == "fov01"
    assert plot.stem == f"fov01_{plot.name}"
    assert plot.title
    assert plot.caption.endswith(".")
    assert re.match(r"Fig\. \d", plot.paper)
    assert len({len(column) for column in plot.numbers.values()}) == 1
    table(plot)


@pytest.mark.parametrize("draw", FOV_PLOTS, ids=lambda d: d.__name__)
def test_every_figure_has_room_for_eight_filters(tmp_path, draw):
    """Row F4: DLF-100 to DLF-2500, and more."""
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, shape=SHAPE)
    names = [f"dlf-{n}" for n in (50, 100, 200, 500, 1000, 1500, 2000, 2500)]
    for name in names:
        add_filtered(path, name=name, shape=SHAPE)
    plot = draw(*prepared(path))
    shown = texts(plot.figure)
    assert all(any(name in text for text in shown) for name in names)
    assert plot.width_in <= 11.5


@pytest.mark.parametrize("draw", FOV_PLOTS, ids=lambda d: d.__name__)
def test_a_rapid_frame_alone_is_drawn_where_it_can_be(tmp_path, draw):
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, shape=SHAPE, n_frames=1, slow=False, pixel_size_nm=None)
    plot = draw(*prepared(path))
    assert not any(name.endswith(("_nm", "per_um")) for name in plot.numbers if "pixel" not in name)


def test_contours_have_common_levels_and_the_scale_of_the_reference(tmp_path):
    """Row Q8: what the lag leaves behind a line is darker on its right than on its left."""
    shots, display = prepared(store_with_smear(tmp_path / "a.zarr"))
    plot = contours_plot(shots, display)
    levels = [c.levels for c in plot.figure.findobj(lambda a: hasattr(a, "levels"))]
    assert len(levels) == 2 * 4  # filled, and lines, of four images
    assert all(np.array_equal(one, levels[0]) for one in levels)
    crop = display.crop
    rows = table(plot)
    assert len(rows) == crop.size**2
    x = np.array([float(r["x_nm"]) for r in rows]).reshape(crop.size, -1)
    assert x[0, 0] == pytest.approx(crop.left * 2.1)
    right, other = (
        np.array([float(r[f"{name}_counts"]) for r in rows]).reshape(crop.size, -1)
        for name in ("smeared", "dlf")
    )
    line = other.mean(axis=0).argmin()
    behind = slice(line + 4, line + 12)
    assert right[:, behind].mean() < other[:, behind].mean() - 100


def test_an_even_image_has_no_contours_and_does_no_harm(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, shape=SHAPE)
    put(
        path,
        "fov01/filtered/even",
        {"frames": (("frame", "y", "x"), np.full((3, *SHAPE), 9000, dtype=np.uint16))},
        coords=frame_coordinates(3),
        attrs={"filter": "x.safetensors", "state": "complete"},
    )
    for draw in FOV_PLOTS:
        assert draw(*prepared(path)) is not None


def test_of_a_large_square_the_middle_is_drawn(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, shape=(900, 900), n_frames=1)
    shots, display = prepared(path)
    assert display.crop.size == 150
    plot = contours_plot(shots, display)
    assert plot.caption.startswith("128 × 128 px")
    first = table(plot)[0]
    assert float(first["x_nm"]) == pytest.approx((display.crop.left + 11) * 2.1)


def test_without_a_place_to_magnify_there_are_no_contours(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, shape=(16, 16))
    assert contours_plot(*prepared(path)) is None


def test_fourier_images_show_the_streak_of_a_smear(tmp_path):
    """Row Q6: less power along k_x, at equal power along k_y, is a vertical streak."""
    shots, display = prepared(store_with_smear(tmp_path / "a.zarr"))
    plot = fourier_plot(shots, display)
    rows = table(plot)
    k_x, k_y = (np.array([float(r[f"k_{a}_per_um"]) for r in rows]) for a in "xy")
    smeared, slow = (
        np.array([float(r[f"{n}_ln_power"]) for r in rows]) for n in ("smeared", "slow_scan")
    )
    lost = smeared - slow
    low = np.hypot(k_x, k_y) < 60
    in_streak, outside = low & (k_x < 8), low & (k_x > 30)
    assert lost[outside].mean() < lost[in_streak].mean() - 1
    windows = {im.get_clim() for im in plot.figure.findobj(lambda a: hasattr(a, "get_clim"))}
    assert len(windows) == 2  # one of the images, one of the spectra
    ellipses = plot.figure.findobj(lambda a: type(a).__name__ == "Ellipse")
    assert len(ellipses) == len(shots.shots)
    assert max(abs(k_y)) == pytest.approx(500 / 2.1)  # half a wave a pixel
    np.testing.assert_allclose(np.unique(k_x)[:2], [0, 1000 / (128 * 2.1)], rtol=1e-6)


def test_the_picture_of_a_spectrum_keeps_its_mean_and_its_middle():
    image = scene((300, 260))
    whole, coarse = power_spectrum(image), averaged(power_spectrum(image))
    assert max(coarse.shape) <= 151
    n_y, n_x = coarse.shape
    assert np.unravel_index(coarse.argmax(), coarse.shape) == (n_y // 2, n_x // 2)
    assert coarse.mean() == pytest.approx(whole.mean(), rel=0.02)


def test_line_profiles_are_on_the_scale_of_the_paper_and_mark_the_dips(store):
    """Rows Q1 and Q7."""
    shots, display = prepared(store)
    plot = line_profile_plot(shots, display)
    rows = table(plot)
    assert [c for c in rows[0] if c.endswith("_scaled")] == [
        "rapid_scaled",
        "DCFI_scaled",
        "dlf_scaled",
        "slow_scan_scaled",
    ]
    slow = np.array([float(r["slow_scan_scaled"]) for r in rows])
    first, last = map(int, re.match(r"Mean of rows (\d+) to (\d+)", plot.caption).groups())
    expected = min_max_scale(shots.shots[-1].image)[first : last + 1].mean(axis=0)
    np.testing.assert_allclose(slow, expected, rtol=1e-6)
    marked = np.flatnonzero([int(r["is_dip"]) for r in rows])
    assert marked.size
    assert all(slow[m] < np.median(slow) for m in marked)
    stripes = [p for p in plot.figure.axes[0].patches if to_hex(p.get_facecolor()) == "#cfe8f7"]
    assert len(stripes) == marked.size


def test_images_without_a_common_place_have_no_profile(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    frames = np.stack([counts(scene((48, 64)))] * 2).astype("f4")
    frames[:, :, 32:] = np.nan
    add_fov(path, n_frames=2, dtype=np.float32)
    put(
        path,
        "fov01/filtered/left",
        {"frames": (("frame", "y", "x"), frames)},
        coords=frame_coordinates(2),
        attrs={"filter": "none", "state": "complete"},
    )
    put(
        path,
        "fov01/filtered/right",
        {"frames": (("frame", "y", "x"), frames[:, :, ::-1])},
        coords=frame_coordinates(2),
        attrs={"filter": "x.safetensors", "state": "complete"},
    )
    assert line_profile_plot(*prepared(path)) is None


@pytest.mark.parametrize("pixel_size_nm", [2.1, None])
def test_the_spectrum_has_a_line_for_each_image_and_marks_its_cut_off(tmp_path, pixel_size_nm):
    """Rows Q4 and Q5."""
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, pixel_size_nm=pixel_size_nm)
    add_dcfi(path)
    add_filtered(path)
    shots, display = prepared(path)
    plot = spectrum_plot(shots, display)
    per = "per_um" if pixel_size_nm else "per_px"
    rows = [r for r in table(plot) if r["direction"] == "along"]
    k, slow = horizontal_profile(display.images[-1], pixel_size_nm=pixel_size_nm)
    np.testing.assert_allclose([float(r[f"wave_number_{per}"]) for r in rows], k, rtol=1e-6)
    np.testing.assert_allclose([float(r["slow_scan_ln_power"]) for r in rows], slow, rtol=1e-6)
    cutoffs = dict(spectrum_cutoffs(shots, display))
    assert list(cutoffs) == ["rapid", "DCFI", "dlf"]
    dlf = horizontal_profile(display.images[2], pixel_size_nm=pixel_size_nm)[1]
    assert cutoffs["dlf"] == agreement_cutoff(dlf, slow, k)
    markers = [m.get_xdata()[0] for m in plot.figure.findobj(_is_marker)]
    assert set(markers) <= set(cutoffs.values())
    assert markers


def _is_marker(artist):
    return getattr(artist, "get_marker", lambda: "")() == "v"


def test_without_a_slow_scan_there_is_nothing_to_follow(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, slow=False)
    shots, display = prepared(path)
    assert spectrum_cutoffs(shots, display) == []
    assert "follows" not in spectrum_plot(shots, display).caption


def test_an_image_of_few_pixels_has_no_spectrum(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, shape=(16, 12))
    shots, display = prepared(path)
    assert spectrum_plot(shots, display) is None
    assert fourier_plot(shots, display) is None
    assert images_plot(shots, display) is not None


# --- scores --------------------------------------------------------------------------------


def test_bars_are_drawn_for_any_mix_of_rows():
    """Row Q2."""
    rows = [
        row(),
        row("dcfi", truth_mean_db=30.0, truth_std_db=0.1),
        row("dlf", group="trained"),
        row("_hidden $x$ ☃" + "long" * 20),
        row(group="slow scan after"),
    ]
    plot = scores_plot(rows)
    plot.uri()
    assert [r["mean_dB"] for r in table(plot) if r["score"] == "psnr_truth"] == ["30"]
    assert "hatched" in plot.caption
    assert all(r["fov_group"] != "slow scan after" for r in table(plot))
    assert scores_plot(rows[-1:]) is not None


def test_every_score_in_decibels_gets_bars():
    """Scores that a later version of `summarize` adds need no code."""
    rows = [
        row(statistics=(in_decibels("psnr_matched", 20.0), in_decibels("streak", -0.5))),
        row("dlf", statistics=(in_decibels("psnr_matched", 25.0), in_decibels("streak", 2.5))),
    ]
    found = {(r["score"], r["image"]): float(r["mean_dB"]) for r in table(scores_plot(rows))}
    assert found["psnr_matched", "dlf"] == 25
    assert found["streak", "rapid"] == -0.5
    assert bands_plot(rows) is None


def test_bands_of_intensity_have_bars_of_their_own():
    """Row Q3."""
    bands = ("0–20,000", "20,000–40,000", "40,000–65,535")
    rows = [
        row(statistics=tuple(in_decibels("psnr_band", 10.0 + i, b) for i, b in enumerate(bands)))
    ]
    plot = bands_plot(rows)
    assert [r["score"] for r in table(plot)] == [f"psnr_band {b}" for b in bands]
    assert "psnr_band" not in scores_plot(rows).csv()


@pytest.mark.parametrize("mean", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_not_drawn(mean):
    assert scores_plot([row(mean=mean)]) is None
    assert scores_plot([]) is None


def test_equal_data_give_equal_figures():
    assert scores_plot([row()]).uri() == scores_plot([row()]).uri()


# --- series --------------------------------------------------------------------------------


@pytest.mark.parametrize("slow", [True, False])
def test_a_series_with_temperatures_is_drawn_against_time(tmp_path, slow):
    """Row D6."""
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, n_frames=5, temperature=True, slow=slow, relation="after")
    scores = {} if slow else {"psnr": None, "psnr_rapid": None}
    add_filtered(path, n_frames=5, temperature=True, status=[1, 1, 2, 1, 0], **scores)
    plot = series_plot(fov_of(path))
    plot.uri()
    rows = table(plot)
    assert [float(r["temperature_degC"]) for r in rows] == [90, 90.5, 91, 91.5, 92]
    if slow:
        assert [r["psnr_dlf_dB"] for r in rows] == ["16", "16.1", "", "16.3", ""]
        assert "temperature [°C]" in texts(plot.figure)


def test_frames_out_of_range_are_crossed_in_the_figure_of_a_series(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, n_frames=5, temperature=True)
    add_filtered(path, n_frames=5, temperature=True)
    fov = fov_of(path)
    (filtered,) = fov.filters
    flagged = FlaggedFrames(frames=[1, 3], of=5, by_respect={"noise": 2})
    assert "out of range" not in texts(series_plot(fov).figure)
    crossed = series_plot(replace(fov, filters=(replace(filtered, flagged=flagged),)))
    assert "out of range" in texts(crossed.figure)
    assert "crosses" in crossed.caption


def test_a_long_series_is_averaged_not_thinned(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, shape=(16, 16), temperature=True, slow=False)
    time = np.arange(100_001.0)
    noise = 300 + np.random.default_rng(0).normal(size=time.size)
    plot = series_plot(replace(fov_of(path), time=time, temperature=noise))
    (line,) = plot.figure.axes[0].lines
    assert line.get_xdata().size <= 1500
    # means of 67 neighbours scatter by 1 / sqrt(67) = 0.12
    assert np.std(line.get_ydata()) == pytest.approx(1 / np.sqrt(67), rel=0.1)


def test_a_short_series_without_temperatures_has_no_figure(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    add_fov(path)
    add_filtered(path)
    assert series_plot(fov_of(path)) is None


def test_a_long_series_without_temperatures_is_drawn_against_time(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, shape=(8, 8), n_frames=120)
    add_filtered(path, shape=(8, 8), n_frames=120)
    plot = series_plot(fov_of(path))
    assert len(table(plot)) == 120
    assert plot.title == "fov01: PSNR against time"


def test_first_middle_and_last_frames_stand_over_the_filtered_ones(tmp_path):
    """Row Q9 and Fig. 5: time and temperature stamped, the slow scan beside them."""
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, n_frames=9, temperature=True, relation="after")
    add_filtered(path, n_frames=9, temperature=True)
    view = read_store(path)
    plot = frames_plot(view, view.fovs[0])
    assert [r["frame"] for r in table(plot)] == ["0", "0", "4", "4", "8", "8"]
    shown = texts(plot.figure)
    assert "frame 8\n0.31 s, 94 °C" in shown
    assert "slow scan\ntaken after the series" in shown
    assert "dlf, last frame against it: 16.8 dB, rapid 14.8 dB, +2.0 dB (+14%)" in plot.caption


def test_a_still_place_has_no_first_and_last_frame(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, n_frames=9)
    view = read_store(path)
    assert frames_plot(view, view.fovs[0]) is None
    assert end_scores(view, view.fovs[0]) == []


def test_the_last_frame_that_is_done_is_scored_against_the_slow_scan(tmp_path):
    """Row Q9: 16.0 + 0.1 x 3 over 14.0 + 0.1 x 3 dB."""
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, n_frames=5, relation="after")
    add_filtered(path, n_frames=5, status=[1, 1, 1, 1, 2])
    view = read_store(path)
    (end,) = end_scores(view, view.fovs[0])
    assert (end.filter, end.frame) == ("dlf", 3)
    assert end.gain_db == pytest.approx(2.0)
    assert end.gain_percent == pytest.approx(100 * 2.0 / 14.3)


# --- distortion ----------------------------------------------------------------------------


def test_the_distortion_is_drawn_for_many_fovs(tmp_path):
    """Row C6."""
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, slow=False)
    plain = read_store(path).fovs
    assert distortion_plot(plain) is None
    add_calibration(path)
    fov = fov_of(path)
    many = [replace(fov, name=f"fov{i}") for i in range(12)]
    plot = distortion_plot([*plain, *many])
    plot.uri()
    assert len(table(plot)) == 12 * 64
    assert {r["uncertainty_px"] for r in table(plot)} == {"0.2"}


@pytest.mark.parametrize("slow", [True, False])
def test_the_numbers_of_a_correction_hold_its_map_and_its_profiles(tmp_path, slow):
    """Fig. 1b and c (row Q7)."""
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, slow=slow)
    add_calibration(path, std=False)
    view = read_store(path)
    plot = correction_plot(read_correction(view, view.fovs[0]))
    rows = table(plot)
    assert len(rows) == 64
    assert {"rapid_before_counts", "rapid_after_counts", "is_dip"} <= set(rows[0])
    assert ("slow_counts" in rows[0]) == slow
    assert rows[0]["uncertainty_px"] == ""
    assert plot.paper == "Fig. 1a–c, 7d"


# --- style ---------------------------------------------------------------------------------


def test_a_running_mean_keeps_the_length_and_the_level():
    np.testing.assert_allclose(running_mean(np.full(100, 3.0)), 3.0)
    assert running_mean(np.arange(4.0)).tolist() == [0, 1, 2, 3]


def test_the_slow_scan_is_black_and_filters_differ():
    styles = looks(["rapid", "slow", *(f"f{i}" for i in range(8))])
    assert styles["slow"].colour == "#000000"
    drawn = [(s.colour, str(s.dashes)) for s in styles.values()]
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("$a$", r"\$a\$"), ("_x", " _x"), ("☃", "?"), ("a" * 40, "a" * 25 + "..."), ("µm", "µm")],
)
def test_names_cannot_break_a_figure(text, expected):
    assert figure_text(text) == expected
