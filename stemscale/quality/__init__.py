"""Two images on one grid come in; a score, a spectrum or a summary of scores goes out."""

from stemscale.quality.background import remove_background
from stemscale.quality.coherence import coherence_cutoff, ring_coherence
from stemscale.quality.gain import PAPER_PEAK, gain_and_offset, match_gain, min_max_scale
from stemscale.quality.lag import LagTail, lag_tail, line_response
from stemscale.quality.paper_score import PaperScore
from stemscale.quality.psnr import (
    PAPER_BANDS,
    psnr,
    psnr_by_band,
    psnr_matched,
    psnr_paper,
    psnr_without_background,
)
from stemscale.quality.spectrum import agreement_cutoff, horizontal_profile, power_spectrum
from stemscale.quality.ssim import ssim
from stemscale.quality.streak import streak
from stemscale.quality.summary import ScoreSummary, mean_and_std
from stemscale.quality.zncc import zncc

__all__ = [
    "PAPER_BANDS",
    "PAPER_PEAK",
    "LagTail",
    "PaperScore",
    "ScoreSummary",
    "agreement_cutoff",
    "coherence_cutoff",
    "gain_and_offset",
    "horizontal_profile",
    "lag_tail",
    "line_response",
    "match_gain",
    "mean_and_std",
    "min_max_scale",
    "power_spectrum",
    "psnr",
    "psnr_by_band",
    "psnr_matched",
    "psnr_paper",
    "psnr_without_background",
    "remove_background",
    "ring_coherence",
    "ssim",
    "streak",
    "zncc",
]
