"""Hold a series against what the card of a filter says was seen in training."""

import logging

from stemscale.acquisition import ScanSettings
from stemscale.corrections import Calibration
from stemscale.denoising import SeenFrames, SeriesScale
from stemscale.denoising.misfit import explain_misfit
from stemscale.denoising.training_ranges import relative_noise
from stemscale.distortion import Interpolation, Warp
from stemscale.pipeline.filters import FilterChoice
from stemscale.store import AcquisitionStore

logger = logging.getLogger(__name__)

_FRAMES = 4  # that are measured


def find_misfit(
    store: AcquisitionStore,
    fov: str,
    choice: FilterChoice,
    *,
    settings: ScanSettings,
    calibration: Calibration | None,
    interpolation: Interpolation,
    scale: SeriesScale | None,
    n_frames: int,
) -> tuple[str, ...]:
    """Say where a series is clearly unlike what a filter file was trained for, and log it.

    Parameters
    ----------
    store : AcquisitionStore
    fov : str
    choice : FilterChoice
    settings : ScanSettings
        Of the rapid frames as recorded.
    calibration : Calibration or None
        What corrects the frames.
    interpolation : str
        How they are corrected: it takes noise away.
    scale : SeriesScale or None
        Of the series.
    n_frames : int
        That it has by now.

    Returns
    -------
    tuple of str
        Sentences, see `explain_misfit`; none for filters that are no file.
    """
    if choice.card is None or scale is None:
        return ()
    frames = store.first_frames(fov, min(_FRAMES, n_frames))
    if calibration is not None:
        frames = Warp(calibration.distortion, interpolation=interpolation)(frames)
    recorded = calibration is None
    seen = SeenFrames.of_card(choice.card, recorded=recorded)
    said = tuple(
        explain_misfit(
            choice.card,
            settings=settings,
            scale=scale,
            noise=relative_noise(frames, scale) if seen is None else (),
            frames=() if seen is None else [seen.character(f, scale) for f in frames],
            recorded=recorded,
        )
    )
    for sentence in said:
        logger.warning("%s: %s: %s", choice.label, fov, sentence)
    return said
