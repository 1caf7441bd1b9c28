import base64
import re
from dataclasses import replace

import numpy as np
import pytest
from reports.builders import (
    add_calibration,
    add_dcfi,
    add_filtered,
    add_fov,
    new_store,
)

from stemscale.reports import ScoreRow
from stemscale.reports.display import prepare
from stemscale.reports.figures import distortion_figure, psnr_figure, series_figure
from stemscale.reports.pixels import read_shots
from stemscale.reports.spectra import running_mean, spectrum_cutoffs, spectrum_figure
from stemscale.reports.store_view import read_store
from stemscale.reports.style import figure_text, looks
from stemscale.store import FlaggedFrames


def svg(uri):
    head, _, body = uri.partition(",")
    assert head == "data:image/svg+xml;base64"
    return base64.b64decode(body).decode()


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


def prepared(path):
    view = read_store(path)
    shots = read_shots(view, view.fovs[0])
    return shots, prepare(shots)


def test_bars_are_drawn_for_any_mix_of_rows():
    """Row Q2."""
    rows = [
        row(),
        row("dcfi", truth_mean_db=30.0, truth_std_db=0.1),
        row("dlf", group="trained"),
        row("_hidden $x$ ☃" + "long" * 20),
        row(group="slow scan after"),
    ]
    assert "<svg" in svg(psnr_figure(rows))
    assert "<svg" in svg(psnr_figure(rows[-1:]))


@pytest.mark.parametrize("mean", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_not_drawn(mean):
    assert psnr_figure([row(mean=mean)]) is None
    assert psnr_figure([]) is None


@pytest.mark.parametrize("pixel_size_nm", [2.1, None])
def test_the_spectrum_has_a_line_for_each_image(tmp_path, pixel_size_nm):
    """Row Q4."""
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, pixel_size_nm=pixel_size_nm)
    add_dcfi(path)
    add_filtered(path)
    shots, display = prepared(path)
    assert "<svg" in svg(spectrum_figure(shots, display))
    cutoffs = dict(spectrum_cutoffs(shots, display))
    assert list(cutoffs) == ["rapid", "DCFI", "dlf"]
    assert all(0 <= k <= (0.5 if pixel_size_nm is None else 240) for k in cutoffs.values())


def test_without_a_slow_scan_there_is_nothing_to_follow(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, slow=False)
    shots, display = prepared(path)
    assert spectrum_cutoffs(shots, display) == []
    assert spectrum_figure(shots, display) is not None


def test_an_image_of_few_pixels_has_no_spectrum(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, shape=(16, 12))
    assert spectrum_figure(*prepared(path)) is None


def test_the_distortion_is_drawn_for_many_fovs(tmp_path):
    """Row C6."""
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, slow=False)
    plain = read_store(path).fovs
    assert distortion_figure(plain) is None
    add_calibration(path)
    (fov,) = read_store(path).fovs
    many = [replace(fov, name=f"fov{i}") for i in range(12)]
    assert "<svg" in svg(distortion_figure([*plain, *many]))


@pytest.mark.parametrize("slow", [True, False])
def test_a_series_with_temperatures_is_drawn_against_time(tmp_path, slow):
    """Row D6."""
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, n_frames=5, temperature=True, slow=slow, relation="after")
    scores = {} if slow else {"psnr": None, "psnr_rapid": None}
    add_filtered(path, n_frames=5, temperature=True, status=[1, 1, 2, 1, 0], **scores)
    assert "<svg" in svg(series_figure(read_store(path).fovs[0]))


def test_frames_out_of_range_are_crossed_in_the_figure_of_a_series(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, n_frames=5, temperature=True)
    add_filtered(path, n_frames=5, temperature=True)
    (fov,) = read_store(path).fovs
    (filtered,) = fov.filters
    flagged = FlaggedFrames(frames=[1, 3], of=5, by_respect={"noise": 2})
    assert "out of range" not in svg(series_figure(fov))
    crossed = replace(fov, filters=(replace(filtered, flagged=flagged),))
    assert "out of range" in svg(series_figure(crossed))


def test_a_long_series_is_averaged_not_thinned(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, shape=(16, 16), temperature=True, slow=False)
    (fov,) = read_store(path).fovs
    time = np.arange(100_001.0)
    noise = 300 + np.random.default_rng(0).normal(size=time.size)
    figure = svg(series_figure(replace(fov, time=time, temperature=noise)))
    assert len(figure) < 150_000
    # means of 67 neighbours scatter by 1 / sqrt(67) = 0.12: no tick beyond 300 ± 1
    ticks = set(re.findall(r"<!-- (\d+\.\d+) -->", figure))
    assert ticks
    assert all(299 < float(t) < 301 for t in ticks)


def test_a_series_without_temperatures_has_no_figure(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    add_fov(path)
    assert series_figure(read_store(path).fovs[0]) is None


def test_equal_data_give_equal_figures():
    assert psnr_figure([row()]) == psnr_figure([row()])


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
