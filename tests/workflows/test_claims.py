"""Claims of the paper against scores whose verdicts can be told by hand."""

import json

import numpy as np
import pytest

from stemscale.errors import StoreError
from stemscale.store import AcquisitionStore
from stemscale.workflows.study.claims import claims_of
from stemscale.workflows.study.distortions import Departure
from stemscale.workflows.study.scores import Score, Scores

PSNR = {"rapid": 20.0, "dcfi": 20.5, "dlf-dcfi": 20.6, "dlf-slow": 21.6, "dlf-2500": 21.0}
BANDS = {"0-20,000": (20.0, 20.4), "20,000-40,000": (20.0, 23.0), "40,000-65,535": (20.0, 20.2)}


def row(type_, scores, group="held-out"):
    statistics = [
        {"score": score, "band": band, "mean": mean, "std": 0.5, "units": "dB"}
        for (score, band), mean in scores.items()
    ]
    return {"type": type_, "fov_group": group, "statistics": statistics}


def of_fovs(mean, number):
    """Means of six FOVs; two such differ by 0.08 more or less, with a standard error of 0.08."""
    return mean + 0.1 * np.roll([1.0, -1.0, 1.0, -1.0, 1.0, -1.0], number)


def scores_of(psnr=PSNR, bands=BANDS, streaks=None, cutoffs=None, tails=None, last=()):
    rows, by_fov = [], {}
    for type_, mean in psnr.items():
        found = {("psnr", ""): mean}
        if type_ in ("rapid", "dlf-slow"):
            at = type_ == "dlf-slow"
            found |= {("psnr_band", band): pair[at] for band, pair in bands.items()}
        measured = {"streak": streaks, "agreement_cutoff": cutoffs, "lag_tail_truth": tails}
        for score, values in measured.items():
            if values and type_ in values:
                found[score, ""] = values[type_]
        found["psnr_truth", ""] = 8 + mean
        rows.append(row(type_, found))
        for (score, band), value in found.items():
            if not band:
                by_fov[type_, score] = of_fovs(value, len(rows))
    return Scores(rows=rows, last_frames=list(last), by_fov=by_fov)


def verdicts(scores, heating=None):
    return {claim.words: claim.verdict for claim in claims_of(scores, heating or {}, {})}


def of(found, part):
    return next(verdict for words, verdict in found.items() if part in words)


def test_figures_at_least_as_good_as_the_papers_hold():
    """21.6 over 20 dB is +8 %; in the middle band 23 over 20 dB +15 %."""
    found = verdicts(scores_of())
    assert of(found, "highest PSNR of rapid") == "holds"
    assert of(found, "over rapid") == "holds"
    assert of(found, "in the middle band") == "holds"
    assert of(found, "outside the middle band") == "holds"


def test_a_smaller_gain_and_another_best_filter_do_not_hold():
    found = verdicts(scores_of(psnr=PSNR | {"dlf-slow": 21.2, "dcfi": 22.0}))
    assert of(found, "highest PSNR of rapid") == "does not hold"
    assert of(found, "over rapid") == "does not hold"


def test_what_was_not_measured_cannot_be_tested():
    found = claims_of(Scores(rows=[], last_frames=[]), {}, {})
    assert {claim.verdict for claim in found} == {"cannot be tested"}
    assert all(claim.why for claim in found)


def test_streaks_hold_where_only_that_of_dlf_slow_is_gone():
    streaks = {"dcfi": 3.0, "dlf-dcfi": 2.5, "dlf-2500": 2.0, "dlf-slow": 0.4}
    found = verdicts(scores_of(streaks=streaks))
    assert of(found, "is gone after DLF-Slow") == "holds"
    assert of(found, "stays after DCFI") == "holds"
    found = verdicts(scores_of(streaks=streaks | {"dlf-2500": 0.2}))
    assert of(found, "stays after DCFI") == "does not hold"


def test_what_lies_within_the_scatter_of_fields_of_view_cannot_be_tested():
    found = verdicts(scores_of(psnr=PSNR | {"dlf-2500": 21.6, "dlf-dcfi": 21.55}))
    assert of(found, "highest PSNR of rapid") == "cannot be tested"
    assert of(found, "of 2,500 frames, is worse") == "cannot be tested"
    streaks = {"dcfi": 3.0, "dlf-dcfi": 2.5, "dlf-2500": 0.95, "dlf-slow": 1.02}
    found = claims_of(scores_of(streaks=streaks), {}, {})
    gone, stays = (c for c in found if c.row == "Q6")
    assert gone.verdict == stays.verdict == "cannot be tested"
    assert "twice the standard error" in gone.why
    assert gone.ours.startswith("1.0 ± 0.0 dB")


def test_the_error_of_a_difference_is_that_of_pairs():
    """Fields of view that differ much, but alike: 1 ± 0.1 / sqrt(3)."""
    by_fov = {
        ("one", "psnr"): np.array([10.0, 20.0, 30.0]),
        ("other", "psnr"): np.array([9.1, 19.0, 28.9]),
    }
    found = Scores(rows=[], last_frames=[], by_fov=by_fov).difference("one", "other", "psnr")
    assert found.mean == pytest.approx(1.0)
    assert found.error == pytest.approx(0.1 / np.sqrt(3))
    assert found.n == 3
    assert found.exceeds(0) is True
    assert found.exceeds(0.9) is None
    assert found.exceeds(2) is False


def test_spectra_are_compared_by_how_far_they_follow_the_slow_scan():
    cutoffs = {"dlf-slow": 120.0, "dlf-2500": 48.0, "dcfi": 10.0}
    assert of(verdicts(scores_of(cutoffs=cutoffs)), "follows the slow scan's") == "holds"
    cutoffs["dlf-2500"] = 130.0
    assert of(verdicts(scores_of(cutoffs=cutoffs)), "follows the slow scan's") == "does not hold"


def test_last_frames_of_all_heating_series_count():
    last = {"filter": "dlf-slow", "rapid_db": 10.0, "filtered_db": 11.0}
    last |= {"rapid_matched_db": 20.0, "filtered_matched_db": 21.0}
    heating = {
        "heating1": scores_of(last=[last]),
        "heating2": scores_of(last=[last | {"filtered_db": 12.0}]),
    }
    claim = next(c for c in claims_of(scores_of(), heating, {}) if c.row == "Q9")
    assert claim.ours == (
        "heating1 +10 %, heating2 +20 %; after the best gain and offset +5 % on average"
    )
    assert claim.verdict == "holds"  # 15 % on average


def test_an_average_that_lost_half_of_the_smear_did_not_keep_it():
    tails = {"rapid": 0.3, "dcfi": 0.3, "bm3d": 0.27, "dlf-slow": 0.03}
    psnr = dict.fromkeys(tails, 20.0)
    assert of(verdicts(scores_of(psnr=psnr, tails=tails)), "keep the smear") == "holds"
    found = verdicts(scores_of(psnr=psnr, tails=tails | {"dcfi": 0.15}))
    assert of(found, "keep the smear") == "does not hold"


def test_single_fov_filters_are_taken_in_the_order_of_their_frames():
    psnr = PSNR | {"dlf-2500": 21.0, "dlf-100": 20.2, "dlf-500": 20.8}
    assert of(verdicts(scores_of(psnr=psnr)), "better with more frames") == "holds"
    psnr["dlf-500"] = 21.1
    assert of(verdicts(scores_of(psnr=psnr)), "better with more frames") == "does not hold"


def test_a_distortion_holds_where_less_than_a_pixel_is_left_of_it():
    def judged(left, worst):
        one = Departure(what="", n_fovs=6, before_px=26.0, after_px=left, worst_px=worst)
        claims = claims_of(scores_of(), {}, {"strips": one, "transferred": one})
        return [c.verdict for c in claims if c.row in ("C4", "C7")]

    assert judged(0.4, 0.9) == ["holds", "holds"]
    assert judged(0.4, 1.1) == ["holds", "does not hold"]
    assert judged(1.2, 1.3) == ["does not hold", "does not hold"]


def test_only_fields_of_view_that_taught_no_filter_count(tmp_path):
    file = tmp_path / "scores.json"
    store = AcquisitionStore.create(tmp_path / "s.zarr").path
    rows = [row("rapid", {("psnr", ""): 10.0}, "trained"), row("rapid", {("psnr", ""): 12.0})]
    file.write_text(json.dumps({"scores": rows, "last_frames": []}))
    assert Scores.read(file, store).get("rapid", "psnr") == Score(mean=12.0, std=0.5, units="dB")
    rows[1]["statistics"][0]["mean"] = None  # of no frame with a score
    file.write_text(json.dumps({"scores": rows, "last_frames": []}))
    assert Scores.read(file, store).get("rapid", "psnr") is None
    file.write_text("{}")
    with pytest.raises(StoreError, match="delete it"):
        Scores.read(file, store)


def test_what_does_not_hold_or_by_far_more_than_there_says_why():
    """From 20 to 26 dB is +30 %, four times the paper's +7 %."""
    claims = claims_of(scores_of(psnr=PSNR | {"dlf-slow": 26.0}), {}, {})
    assert "minimum to maximum" in of({c.words: c.why for c in claims}, "DLF-Slow over rapid")
    claims = claims_of(scores_of(psnr=PSNR | {"dlf-slow": 20.4}), {}, {})
    why = {c.words: c.why for c in claims}
    assert of({c.words: c.verdict for c in claims}, "highest PSNR of rapid") == "does not hold"
    assert "average" in of(why, "highest PSNR of rapid")
    assert all(c.why for c in claims if c.verdict == "cannot be tested")
    assert not any(c.why for c in claims_of(scores_of(), {}, {}) if c.verdict == "holds")
