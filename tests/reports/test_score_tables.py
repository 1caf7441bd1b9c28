import numpy as np
import pytest
import xarray as xr
from reports.builders import add_filtered, add_fov, add_summary, new_store, put

from stemscale.reports import EndScore, ScoreRow, Statistic, score_table
from stemscale.reports.score_tables import headline, statistic_tables


def row(type_="dlf", **more):
    return ScoreRow(
        type=type_,
        fov_group="all",
        n_fovs=1,
        n_frames=3,
        psnr_mean_db=16.0,
        psnr_std_db=0.3,
        **more,
    )


def statistic(score, mean=1.0, std=0.5, units="", band=""):
    about = f"what {score} means"
    return Statistic(score=score, band=band, units=units, long_name=about, mean=mean, std=std)


@pytest.fixture
def store(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    for fov in ("fov01", "fov02"):
        add_fov(path, fov)
        add_filtered(path, fov)
    return path


def test_scores_that_no_one_foresaw_are_read_with_their_units_and_pooled(store):
    """Mean over all frames of both FOVs: (10 x 2 + 30 x 1) / 40 = 1.25 of `novelty`."""
    add_summary(
        store,
        ["fov01", "fov02"],
        ["rapid", "dlf"],
        n_frames=[[10, 10], [30, 30]],
        psnr_mean=[[14, 16], [14, 16]],
        psnr_std=[[0, 0], [0, 0]],
        novelty_mean=[[5, 2], [5, 1]],
        novelty_std=[[0, 0], [0, 0]],
    )
    dlf = next(r for r in score_table(store) if r.type == "dlf")
    found = {s.score: s for s in dlf.statistics}
    assert found["novelty"].mean == pytest.approx(1.25)
    assert found["novelty"].std == pytest.approx(np.sqrt(3 / 16))
    assert found["psnr"].mean == 16


def test_a_score_by_band_has_a_place_for_each_band(store):
    """Row Q3."""
    attrs = {"units": "dB", "long_name": "mean over frames: PSNR by band"}
    values = np.array([[[20.0, 18, 13], [15, np.nan, 24]]] * 2)
    put(
        store,
        "summary",
        {
            "n_frames": (("fov", "filter"), np.full((2, 2), 3)),
            "psnr_mean": (("fov", "filter"), np.full((2, 2), 16.0)),
            "psnr_band_mean": (("fov", "filter", "band"), values, attrs),
        },
        attrs={
            "fov_names": ["fov01", "fov02"],
            "filter_names": ["rapid", "dlf"],
            "band_edges": [0, 20000, 40000, 65535],
        },
    )
    rows = score_table(store)
    (table,) = statistic_tables(rows)
    assert table.columns == (
        "PSNR 0–20,000 [dB]",
        "PSNR 20,000–40,000 [dB]",
        "PSNR 40,000–65,535 [dB]",
    )
    assert [line["cells"] for line in table.lines] == [
        ["20.00", "18.00", "13.00"],
        ["15.00", "–", "24.00"],
    ]
    assert table.meanings == {"PSNR": "PSNR by band"}


def test_a_summary_of_odd_shapes_does_no_harm(store):
    odd = xr.Dataset(
        {
            "a_mean": ("x", [1.0]),
            "b_mean": (("filter", "fov"), np.ones((2, 2))),
            "c_mean": (("fov", "filter", "band", "more"), np.ones((2, 2, 3, 1))),
            "_mean": (("fov", "filter"), np.ones((2, 2))),
            "d_mean": (("fov", "filter"), np.array([["x", "y"]] * 2)),
        }
    )
    put(store, "summary", odd.data_vars, attrs={"fov_names": ["fov01"], "filter_names": ["dlf"]})
    assert len(score_table(store)) == 2


def test_tables_are_as_wide_as_a_page_and_leave_out_what_stands_in_the_first():
    names = ["psnr", "psnr_truth", "lag_tail", *(f"s{i}" for i in range(9))]
    tables = statistic_tables([row(statistics=tuple(statistic(n) for n in names))])
    assert [t.columns for t in tables] == [tuple(f"s{i}" for i in range(7)), ("s7", "s8")]
    assert tables[0].meanings["s0"] == "what s0 means"


def test_values_have_the_digits_of_their_unit():
    scores = (
        statistic("psnr_matched", 23.456, 0.678, "dB"),
        statistic("agreement_cutoff", 118.64, 4.321, "1/um"),
        statistic("ssim", 0.87654, np.nan),
    )
    (table,) = statistic_tables([row(statistics=scores), row("other")])
    assert table.columns == ("PSNR, matched [dB]", "follows slow scan to [1/µm]", "SSIM")
    assert table.lines[0]["cells"] == ["23.46 ± 0.68", "119 ± 4.3", "0.877"]
    assert table.lines[1]["cells"] == ["–"] * 3


def test_without_a_summary_there_is_no_further_table(store):
    assert statistic_tables(score_table(store)) == []


def test_the_headline_says_what_the_last_frame_of_a_series_gained():
    """Row Q9."""
    end = EndScore(fov="fov01", filter="live", frame=199, rapid_db=10.0, filtered_db=22.5)
    assert headline([], [end]) == [
        "live: last frame of fov01 12.5 dB above the rapid one (+125%), "
        "against the slow scan taken after the series"
    ]
    assert len(headline([], [end] * 9)) == 6


def test_filters_are_listed_in_the_order_that_people_count(tmp_path):
    """Row F4."""
    path = new_store(tmp_path / "a.zarr")
    add_fov(path)
    for n in (100, 1000, 2500, 500):
        add_filtered(path, name=f"dlf-{n}")
    types = [r.type for r in score_table(path)]
    assert types == ["rapid", "dlf-100", "dlf-500", "dlf-1000", "dlf-2500"]


def test_columns_stand_in_the_order_of_their_headings_and_single_tests_have_no_scatter():
    scores = (
        statistic("residual_lost", 0.2, 1e-18),
        statistic("unknown", 1.0),
        statistic("upsnr", 30.0, 0.5, "dB"),
    )
    (table,) = statistic_tables([row(statistics=scores)])
    assert table.columns == ("uPSNR [dB]", "lost or invented", "unknown")
    assert table.lines[0]["cells"] == ["30.00 ± 0.50", "0.2", "1 ± 0.5"]
