import numpy as np
import pytest
import zarr
from reports.builders import add_filtered, add_fov, add_summary, frame_coordinates, new_store, put

from stemscale.reports import last_frame_table, series_table

N = 12


def in_situ(path, *, slow=True, score="psnr", **columns):
    """A heating series of 12 frames, of which ``columns`` are the scores by type of image."""
    new_store(path)
    add_fov(path, n_frames=N, slow=slow, relation="after", temperature=True)
    add_filtered(path, n_frames=N, temperature=True)
    add_summary(path, ["fov01"], ["rapid", "dlf"], psnr_mean=[[14.0, 16.0]])
    for name, values in columns.items():
        put(
            path,
            f"summary/fov01/{name}",
            {score: ("frame", np.asarray(values, dtype=float), {"units": "dB"})},
            coords=frame_coordinates(N, temperature=True),
        )
    return path


def test_a_series_is_cut_into_six_stretches_of_time(tmp_path):
    store = in_situ(tmp_path / "s.zarr", rapid=np.arange(N), dlf=np.arange(N) + 10)
    rows = series_table(store)
    assert [(r.first_frame, r.last_frame) for r in rows] == [(i, i + 1) for i in range(0, N, 2)]
    assert rows[1].time_s == pytest.approx((0.078, 0.117))
    assert rows[1].temperature_degc == (91, 91.5)
    assert rows[1].psnr_db == {"rapid": (2.5, 0.5), "dlf": (12.5, 0.5)}
    assert rows[1].score == "psnr"


def test_frames_without_a_score_do_not_count(tmp_path):
    values = np.arange(N, dtype=float)
    values[2:5] = np.nan
    rows = series_table(in_situ(tmp_path / "s.zarr", rapid=np.arange(N), dlf=values))
    assert "dlf" not in rows[1].psnr_db
    assert rows[2].psnr_db["dlf"] == (5, 0)


def test_without_a_slow_scan_series_show_what_needs_none(tmp_path):
    store = in_situ(tmp_path / "s.zarr", slow=False, score="upsnr", dlf=np.arange(N))
    assert {row.score for row in series_table(store)} == {"upsnr"}
    assert last_frame_table(store) == []


def test_the_last_frame_of_each_filter_is_held_against_the_slow_scan(tmp_path):
    """Row Q9: 22.8 dB is 14 % over 20 dB."""
    store = new_store(tmp_path / "s.zarr")
    add_fov(store, n_frames=N, relation="after")
    status = np.ones(N)
    status[-1] = 0
    # the builder's scores rise by .1 dB a frame: those of frame 10 are 1 dB more
    add_filtered(store, n_frames=N, psnr=21.8, psnr_rapid=19.0, status=status)
    (found,) = last_frame_table(store)
    assert (found.fov, found.filter, found.frame) == ("fov01", "dlf", N - 2)
    assert found.gain_db == pytest.approx(2.8)
    assert found.gain_percent == pytest.approx(14)


def test_the_last_frame_has_the_score_of_summarize_where_there_is_one(tmp_path):
    """`process` stored 16 + 1.1 and 14 + 1.1 dB; a filter that it did not score counts as well."""
    given = {"rapid": np.arange(N) + 9.0, "dlf": np.arange(N) + 19.0, "late": np.arange(N) + 29.0}
    store = in_situ(tmp_path / "s.zarr", **given)
    add_filtered(store, name="late", n_frames=N, psnr=None, psnr_rapid=None)
    found = {score.filter: score for score in last_frame_table(store)}
    assert {name: (s.rapid_db, s.filtered_db) for name, s in found.items()} == {
        "dlf": (20, 30),
        "late": (20, 40),
    }


@pytest.mark.parametrize("lacks", ["rapid", "dlf", "the last frame"])
def test_without_a_score_of_both_that_of_process_counts(tmp_path, lacks):
    values = np.full(N, 50.0)
    given = {"rapid": values, "dlf": values}
    if lacks == "the last frame":
        given["dlf"] = np.where(np.arange(N) == N - 1, np.nan, values)
    else:
        del given[lacks]
    (found,) = last_frame_table(in_situ(tmp_path / "s.zarr", **given))
    assert found.frame == N - 1
    assert found.rapid_db == pytest.approx(15.1)
    assert found.filtered_db == pytest.approx(17.1)


def test_scores_of_an_earlier_run_are_left_out(tmp_path):
    """The frames were processed anew after they were summarised."""
    store = in_situ(tmp_path / "s.zarr", rapid=np.full(N, 10.0), dlf=np.full(N, 30.0))
    before = last_frame_table(store)[0]
    assert (before.rapid_db, before.filtered_db) == (10.0, 30.0)
    zarr.open_group(store, mode="r+")["fov01/filtered/dlf"].attrs["fingerprint"] = "of a new run"
    after = last_frame_table(store)[0]
    assert after.filtered_db != 30.0
    assert "dlf" not in series_table(store)[0].psnr_db


def test_what_was_not_summarized_has_no_rows(tmp_path):
    assert series_table(in_situ(tmp_path / "s.zarr")) == []


def test_series_without_temperatures_are_no_in_situ_series(tmp_path):
    store = new_store(tmp_path / "s.zarr")
    add_fov(store, n_frames=N)
    put(
        store,
        "summary/fov01/rapid",
        {"psnr": ("frame", np.arange(N, dtype=float))},
        coords=frame_coordinates(N),
    )
    assert series_table(store) == []
