"""The scores there are, with their units and what they say, as the store has them."""

from collections.abc import Mapping

UNITS: Mapping[str, str] = {
    "psnr": "dB",
    "psnr_band": "dB",
    "psnr_matched": "dB",
    "upsnr": "dB",
    "streak": "dB",
    "lag_tail": "1",
    "lag_delay": "px",
    "agreement_cutoff": "1/um",
    "psnr_truth": "dB",
    "lag_tail_truth": "1",
    "streak_truth": "dB",
    "frc_cutoff": "1/um",
    "frc_rapid_cutoff": "1/um",
    "residual_likeness": "1",
    "residual_lost": "1",
    "residual_clear": "1",
    "streak_rapid": "dB",
    "noise_left": "1",
    "noise_along": "1",
    "noise_across": "1",
}
"""CF units; of the cut-offs, 1/px where the pixel size is not known."""

LONG_NAMES: Mapping[str, str] = {
    "psnr": "PSNR against the slow scan",
    "psnr_band": "PSNR against the slow scan, by band of its intensity",
    "psnr_matched": "PSNR against the slow scan, gain and offset matched",
    "upsnr": "PSNR against the noise-free rapid frame, from its neighbours",
    "streak": "streak of the smear in the spectrum, above the slow scan's own",
    "lag_tail": "smear: share of the response more than 2 px downstream, against the slow scan",
    "lag_delay": "delay along the scan line, against the slow scan",
    "agreement_cutoff": "wave number up to which the spectrum follows the slow scan's",
    "psnr_truth": "PSNR against the noise-free truth, background removed",
    "lag_tail_truth": "smear: share of the response more than 2 px downstream, against the truth",
    "streak_truth": "streak of the smear in the spectrum, above the truth's own",
    "frc_cutoff": "wave number up to which two halves of the frames agree (ring correlation 1/7)",
    "frc_rapid_cutoff": "wave number up to which half of the frames agree with other rapid ones",
    "residual_likeness": "likeness of what two halves of the frames lost",
    "residual_lost": "structure lost or invented, over that of the scene",
    "residual_clear": "share of pixels at which structure was clearly lost or invented",
    "streak_rapid": "streak of the smear in the spectrum, above that of other rapid frames",
    "noise_left": "noise, over that of the rapid frames",
    "noise_along": "correlation of the noise 1 px apart along the scan line",
    "noise_across": "correlation of the noise 1 px apart across the scan line",
}

OF_STRETCHES = (
    "frc_cutoff",
    "frc_rapid_cutoff",
    "residual_likeness",
    "residual_lost",
    "residual_clear",
    "streak_rapid",
    "noise_left",
    "noise_along",
    "noise_across",
)
"""Scores of some frames together; all others are of each frame."""

AT_THE_END = ("streak", "lag_tail", "lag_delay", "agreement_cutoff")
"""Scores that mean something only where the slow scan shows the scene of the frame."""

HEADINGS: Mapping[str, str] = {
    "psnr": "PSNR",
    "psnr_matched": "PSNR, matched",
    "upsnr": "uPSNR",
    "psnr_truth": "PSNR to truth",
    "lag_tail": "smear",
    "lag_tail_truth": "smear to truth",
    "streak": "streak",
    "lag_delay": "delay",
    "agreement_cutoff": "follows slow scan to",
    "frc_rapid_cutoff": "confirmed to",
    "frc_cutoff": "halves agree to",
    "residual_lost": "lost or invented",
    "residual_likeness": "residuals alike",
    "residual_clear": "clearly lost",
    "noise_left": "noise left",
    "noise_along": "noise alike along x",
    "noise_across": "noise alike along y",
    "streak_rapid": "streak, to rapid",
    "streak_truth": "streak, to the truth",
    "psnr_band": "PSNR",
}
"""Short words for the heads of tables, in the order in which columns stand."""

UNIT_LABELS: Mapping[str, str] = {"1/um": "1/µm"}
"""Units as people write them, where the store's are others."""
