import numpy as np
import pytest
from reports.builders import add_dcfi, add_filtered, add_fov, add_summary, new_store

from stemscale.errors import StoreError
from stemscale.reports import ScoreRow, score_table
from stemscale.reports.scores import type_label


@pytest.fixture
def store(tmp_path):
    """Two FOVs, of which the filter has seen the first; scores rise by 0.1 dB a frame."""
    path = new_store(tmp_path / "a.zarr")
    for fov, use, psnr in (("fov01", "train", 18.0), ("fov02", "test", 16.0)):
        add_fov(path, fov, use=use)
        add_dcfi(path, fov)
        add_filtered(path, fov, "dlf", psnr=psnr, trained_on=use == "train")
    return path


def by_key(rows):
    return {(r.fov_group, r.type): r for r in rows}


def test_held_out_fovs_are_kept_apart_from_trained_ones(store):
    """Row Q2. Three frames 16.0, 16.1, 16.2 dB: mean 16.1, population std 0.1 sqrt(2/3)."""
    rows = score_table(store)
    assert [(r.fov_group, r.type) for r in rows] == [
        ("held-out", "rapid"),
        ("held-out", "dcfi"),
        ("held-out", "dlf"),
        ("trained", "rapid"),
        ("trained", "dcfi"),
        ("trained", "dlf"),
    ]
    row = by_key(rows)["held-out", "dlf"]
    assert row == ScoreRow(
        type="dlf",
        fov_group="held-out",
        n_fovs=1,
        n_frames=3,
        psnr_mean_db=pytest.approx(16.1),
        psnr_std_db=pytest.approx(0.1 * np.sqrt(2 / 3)),
    )
    assert by_key(rows)["trained", "dlf"].psnr_mean_db == pytest.approx(18.1)
    assert by_key(rows)["held-out", "rapid"].psnr_mean_db == pytest.approx(14.1)
    assert by_key(rows)["held-out", "dcfi"].n_frames == 1


def test_without_a_trained_filter_all_fovs_are_one_group(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    for fov in ("fov01", "fov02"):
        add_fov(path, fov)
        add_dcfi(path, fov)
    assert [(r.fov_group, r.type, r.n_fovs) for r in score_table(path)] == [
        ("all", "rapid", 2),
        ("all", "dcfi", 2),
    ]


def test_a_fov_that_any_filter_has_seen_is_trained_for_all_types(store):
    """So that all types of a group are compared over the same FOVs."""
    add_filtered(store, "fov02", "other", trained_on=True)
    groups = {r.fov_group for r in score_table(store)}
    assert groups == {"trained"}


def test_frames_of_several_fovs_are_pooled_as_if_they_were_one_list(tmp_path):
    """Row Q2: mean and std of the pooled frames, from those of each FOV and their numbers."""
    path = new_store(tmp_path / "a.zarr")
    pooled = []
    for fov, n_frames, psnr in (("fov01", 3, 16.0), ("fov02", 7, 12.0)):
        add_fov(path, fov, n_frames=n_frames)
        add_filtered(path, fov, "dlf", n_frames=n_frames, psnr=psnr)
        pooled += list(psnr + 0.1 * np.arange(n_frames))
    row = by_key(score_table(path))["all", "dlf"]
    assert row.psnr_mean_db == pytest.approx(np.mean(pooled))
    assert row.psnr_std_db == pytest.approx(np.std(pooled))
    assert (row.n_fovs, row.n_frames) == (2, 10)


def test_frames_that_failed_do_not_count(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    add_fov(path)
    add_filtered(path, status=[1, 2, 1])
    row = by_key(score_table(path))["all", "dlf"]
    assert row.n_frames == 2
    assert row.psnr_mean_db == pytest.approx(16.1)


def test_the_summary_wins_over_the_frames_and_brings_the_truth(store):
    nan = float("nan")
    add_summary(
        store,
        ["fov01", "fov02"],
        ["rapid", "dcfi", "dlf"],
        n_frames=[[3, 1, 3], [3, 1, 3]],
        psnr_mean=[[14, 15, 20], [13, nan, 17]],
        psnr_std=[[0.1, 0, 0.2], [0.3, nan, 0.4]],
        psnr_truth_mean=[[25, 28, 31], [26, nan, 32]],
        psnr_truth_std=[[0.1, 0, 0.2], [0.3, nan, 0.4]],
        lag_tail_mean=[[0.34, 0.33, 0.05], [0.34, nan, 0.06]],
        trained=[[0, 0, 1], [0, 0, 0]],
    )
    rows = by_key(score_table(store))
    row = rows["held-out", "dlf"]
    assert (row.psnr_mean_db, row.psnr_std_db) == (17, pytest.approx(0.4))
    assert (row.truth_mean_db, row.truth_std_db) == (32, pytest.approx(0.4))
    assert row.smear == pytest.approx(0.06)
    # the summary knows nothing of this one: taken from its frames
    assert rows["held-out", "dcfi"].psnr_mean_db == pytest.approx(14.5)
    assert rows["held-out", "dcfi"].truth_mean_db is None


def test_the_summary_alone_can_tell_which_fovs_were_trained_on(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    for fov in ("fov01", "fov02"):
        add_fov(path, fov)
        add_filtered(path, fov)
    add_summary(
        path, ["fov01", "fov02"], ["rapid", "dlf"], n_frames=[[3, 3]] * 2, trained=[[0, 1], [0, 0]]
    )
    rows = by_key(score_table(path))
    assert rows["trained", "dlf"].n_fovs == rows["held-out", "dlf"].n_fovs == 1


def test_filtered_frames_are_held_against_the_rapid_ones_of_the_same_fovs(tmp_path):
    """Two were scored, of which one is filtered: 18 dB over 14, not over the mean of 14 and 30."""
    nan = float("nan")
    path = new_store(tmp_path / "a.zarr")
    for fov in ("fov01", "fov02"):
        add_fov(path, fov)
    scored = {"n_frames": [[3, 0], [3, 3]], "psnr_mean": [[30, nan], [14, 18]]}
    add_summary(path, ["fov01", "fov02"], ["rapid", "gaussian"], **scored)
    found = {r.type: (r.n_fovs, r.psnr_mean_db) for r in score_table(path)}
    assert found == {"rapid": (1, 14), "gaussian": (1, 18)}


def test_where_nothing_is_filtered_rapid_frames_are_scored_all_the_same(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    for fov in ("fov01", "fov02"):
        add_fov(path, fov)
    scored = {"n_frames": [[3], [3]], "psnr_mean": [[30], [14]]}
    add_summary(path, ["fov01", "fov02"], ["rapid"], **scored)
    assert [(r.type, r.n_fovs, r.psnr_mean_db) for r in score_table(path)] == [("rapid", 2, 22)]


def test_a_series_with_its_slow_scan_taken_after_stands_apart(store):
    """Row Q9."""
    add_fov(store, "heating", relation="after")
    add_filtered(store, "heating", "dlf")
    rows = score_table(store)
    assert rows[-1].fov_group == "slow scan after"
    assert by_key(rows)["held-out", "dlf"].n_fovs == 1


def test_corrected_frames_alone_are_the_rapid_frames_again(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    add_fov(path)
    add_filtered(path, name="plain", psnr=14.0, filter="none")
    assert [r.type for r in score_table(path)] == ["rapid"]


def test_rapid_frames_are_scored_by_frame_not_by_their_average(store):
    """A whole-series DCFI holds one psnr_rapid, that of the average."""
    assert by_key(score_table(store))["held-out", "rapid"].n_frames == 3


def test_without_a_slow_scan_there_are_no_scores(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, slow=False)
    add_filtered(path, psnr=None, psnr_rapid=None)
    add_summary(path, ["fov01"], ["rapid", "dlf"], n_frames=[[3, 3]], psnr_mean=[[np.nan] * 2])
    assert score_table(path) == []


def test_scores_that_need_no_slow_scan_are_known_without_one(tmp_path):
    """And stand apart: the numbers of frames beside a PSNR are those that it is over."""
    path = new_store(tmp_path / "a.zarr")
    for fov, slow in (("fov01", True), ("fov02", False)):
        add_fov(path, fov, slow=slow)
        add_filtered(path, fov, psnr=None, psnr_rapid=None)
    nan = float("nan")
    add_summary(
        path,
        ["fov01", "fov02"],
        ["rapid", "dlf"],
        n_frames=[[3, 3], [0, 3]],
        psnr_mean=[[14, 16], [nan, nan]],
        upsnr_mean=[[nan, 30], [nan, 29]],
    )
    rows = by_key(score_table(path))
    assert set(rows) == {("all", "rapid"), ("all", "dlf"), ("no reference", "dlf")}
    assert rows["all", "dlf"].n_frames == 3
    apart = {s.score: s.mean for s in rows["no reference", "dlf"].statistics}
    assert apart["upsnr"] == 29
    assert np.isnan(apart["psnr"])


def test_a_perfect_frame_scores_infinity(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    add_fov(path)
    add_filtered(path, psnr=np.inf)
    assert by_key(score_table(path))["all", "dlf"].psnr_mean_db == np.inf


def test_labels_are_those_of_the_field():
    assert [type_label(t) for t in ("rapid", "dcfi", "dlf_slow")] == ["rapid", "DCFI", "dlf_slow"]


def test_no_store_no_table(tmp_path):
    with pytest.raises(StoreError):
        score_table(tmp_path)
