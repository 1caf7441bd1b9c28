"""Two images on one grid come in; a score, a spectrum or a summary of scores goes out."""

from stemscale.quality.background import remove_background
from stemscale.quality.coherence import (
    HALVES_THRESHOLD,
    TRUTH_THRESHOLD,
    coherence_cutoff,
    ring_coherence,
)
from stemscale.quality.decibels import decibels
from stemscale.quality.dips import Dip, find_dips, fit_dip
from stemscale.quality.flat_frames import FlatFrames, StripSums, gather
from stemscale.quality.frame_noise import FrameNoise, frame_noise
from stemscale.quality.gain import PAPER_PEAK, gain_and_offset, match_gain, min_max_scale
from stemscale.quality.halves import independent_halves, mean_image
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
from stemscale.quality.reference_scores import ReferenceScores
from stemscale.quality.residual import ResidualTest, residual_test
from stemscale.quality.spectrum import (
    agreement_cutoff,
    horizontal_profile,
    power_spectrum,
    radial_profile,
)
from stemscale.quality.ssim import ssim
from stemscale.quality.streak import streak
from stemscale.quality.summary import ScoreSummary, mean_and_std
from stemscale.quality.transforms import hann
from stemscale.quality.upsnr import NeighbourScores, NeighbourSums, unsupervised_mse, upsnr
from stemscale.quality.vertex import vertex
from stemscale.quality.zncc import zncc

__all__ = [
    "HALVES_THRESHOLD",
    "PAPER_BANDS",
    "PAPER_PEAK",
    "TRUTH_THRESHOLD",
    "Dip",
    "FlatFrames",
    "FrameNoise",
    "LagTail",
    "NeighbourScores",
    "NeighbourSums",
    "PaperScore",
    "ReferenceScores",
    "ResidualTest",
    "ScoreSummary",
    "StripSums",
    "agreement_cutoff",
    "coherence_cutoff",
    "decibels",
    "find_dips",
    "fit_dip",
    "frame_noise",
    "gain_and_offset",
    "gather",
    "hann",
    "horizontal_profile",
    "independent_halves",
    "lag_tail",
    "line_response",
    "match_gain",
    "mean_and_std",
    "mean_image",
    "min_max_scale",
    "power_spectrum",
    "psnr",
    "psnr_by_band",
    "psnr_matched",
    "psnr_paper",
    "psnr_without_background",
    "radial_profile",
    "remove_background",
    "residual_test",
    "ring_coherence",
    "ssim",
    "streak",
    "unsupervised_mse",
    "upsnr",
    "vertex",
    "zncc",
]
