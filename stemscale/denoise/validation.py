"""Score a filter on what it was not trained on."""

from collections.abc import Sequence

import numpy as np

from stemscale.denoise.inference import run_network
from stemscale.denoise.scaling import normalise
from stemscale.denoise.training_set import FovPart
from stemscale.denoise.unet import UNet
from stemscale.denoise.unseen import fill_unseen
from stemscale.quality import psnr_without_background

_FRAMES_IN_ALL = 8  # more would cost time and change the score little: all frames of a FOV agree


class Validation:
    """Held-out frames, picked once, and the score of the rapid frames themselves.

    Parameters
    ----------
    parts : sequence of FovPart

    Notes
    -----
    The score is the PSNR against the target without background and after the best gain and
    offset [dB]. The target has its own noise, so the score is a lower bound.
    """

    def __init__(self, parts: Sequence[FovPart]) -> None:
        each = max(1, _FRAMES_IN_ALL // len(parts))
        self._cases = [
            (part, normalise(part.frames[index], part.frame_scale(index)))
            for part in parts
            for index in _spread(part.which, each)
        ]
        self.rapid_psnr = self._mean_score([frame for _, frame in self._cases])

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
                run_network(network, fill_unseen(frame)[np.newaxis], device=device)[0]
                for _, frame in self._cases
            ]
        )

    def _mean_score(self, frames: Sequence[np.ndarray]) -> float:
        scores = [
            psnr_without_background(frame[part.rows], part.target[part.rows])
            for (part, _), frame in zip(self._cases, frames, strict=True)
        ]
        return float(np.mean(scores))


def _spread(which: Sequence[int], n: int) -> list[int]:
    """Pick ``n`` of some frames, evenly."""
    n = min(n, len(which))
    return [which[i * len(which) // n] for i in range(n)]
