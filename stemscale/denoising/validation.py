"""Score a filter on what it was not trained on."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stemscale.denoising.evenly import evenly
from stemscale.denoising.inference import run_network
from stemscale.denoising.neighbours import neighbours
from stemscale.denoising.scaling import normalise
from stemscale.denoising.training_set import FovPart
from stemscale.denoising.unet import UNet
from stemscale.denoising.unseen import fill_unseen
from stemscale.quality import psnr_without_background

_FRAMES_IN_ALL = 8  # more would cost time and change the score little: all frames of a FOV agree


class Validation:
    """Held-out frames, picked once, and the score of the rapid frames themselves.

    Parameters
    ----------
    parts : sequence of FovPart
    frames_in : int
        Frames that the network sees at once.

    Notes
    -----
    The score is the PSNR against the target without background and after the best gain and
    offset [dB]. The target has its own noise, so the score is a lower bound.
    """

    def __init__(self, parts: Sequence[FovPart], *, frames_in: int = 1) -> None:
        each = max(1, _FRAMES_IN_ALL // len(parts))
        self._cases = [
            (part, _stack(part, place, frames_in))
            for part in parts
            for place in evenly(len(part.which), each)
        ]
        self.rapid_psnr = self._mean_score([stack[frames_in // 2] for _, stack in self._cases])

    def psnr(self, network: UNet, *, device: str = "cpu") -> float:
        """Filter the held-out frames and score them.

        Parameters
        ----------
        network : UNet
            On ``device``; left in evaluation mode.
        device : str

        Returns
        -------
        float
            Mean PSNR without background [dB].
        """
        network.eval()
        return self._mean_score(
            [
                run_network(network, np.stack([*map(fill_unseen, stack)])[None], device=device)[0]
                for _, stack in self._cases
            ]
        )

    def _mean_score(self, frames: Sequence[np.ndarray]) -> float:
        scores = [
            psnr_without_background(frame[part.rows], part.target[part.rows])
            for (part, _), frame in zip(self._cases, frames, strict=True)
        ]
        return float(np.mean(scores))


def _stack(part: FovPart, place: int, frames_in: int) -> NDArray[np.float32]:
    """Frames around one, (frames in, y, x), on its scale."""
    scale = part.frame_scale(part.which[place])
    around = neighbours(place, frames_in, len(part.which))
    return np.stack([normalise(part.frames[part.which[p]], scale) for p in around])
