from dataclasses import replace

import numpy as np
import pytest
import torch
from denoising.builders import TINY, scan_of, tiny_recipe

from stemscale.denoising import UNet
from stemscale.denoising.training_set import prepare_fov
from stemscale.denoising.validation import Validation
from stemscale.quality import psnr_without_background


@pytest.fixture(scope="module")
def part():
    return prepare_fov(scan_of(96, frames=10, seed=6).fov(), tiny_recipe())


def test_a_network_that_changes_nothing_scores_as_the_rapid_frames(part):
    torch.manual_seed(0)
    validation = Validation([part])
    assert validation.psnr(UNet(TINY)) == pytest.approx(validation.rapid_psnr, abs=1e-6)


def test_the_score_is_that_of_the_held_out_rows(part):
    low = replace(part, rows=slice(64, 96), which=(3,))
    frame = part.frames[3][64:]
    assert Validation([low]).rapid_psnr == pytest.approx(
        psnr_without_background(frame, part.target[64:]), abs=1e-4
    )


def test_pixels_beside_unseen_ones_still_count(part):
    frames, target = part.frames.copy(), part.target.copy()
    frames[:, 40:50, :9] = target[40:50, :9] = np.nan
    validation = Validation([replace(part, frames=frames, target=target)])
    assert validation.psnr(UNet(TINY)) == pytest.approx(validation.rapid_psnr, abs=1e-6)
