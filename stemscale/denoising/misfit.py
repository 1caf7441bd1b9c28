"""Say in words where a series is unlike what a filter saw in training."""

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import median, mode
from typing import Any

from stemscale.acquisition import ScanSettings
from stemscale.denoising.character import FrameCharacter
from stemscale.denoising.ranges import RESPECTS, SeenFrames
from stemscale.denoising.scaling import SeriesScale

SETTING_TOLERANCE = 1.2
NOISE_TOLERANCE = 1.5
CONTRAST_TOLERANCE = 3.0
_HARM = {
    "lag": "smear may stay, or be taken for structure",
    "spectrum": "structures have another size or kind, and the filter may draw those that it knows",
}
_WORDS = {
    **{f"along_{k}": f"correlation of the noise {k} px apart along x is" for k in (1, 2, 3, 6)},
    **{f"across_{k}": f"correlation of the noise {k} px apart along y is" for k in (1, 2)},
    "fine": "ln ratio of structure at 2 to 4 px to that at 4 to 8 px is",
    "coarse": "ln ratio of structure at 4 to 8 px to that at 8 to 16 px is",
    "peak_x": "ln height of the sharpest peak in the spectrum along x is",
    "peak_y": "ln height of the sharpest peak in the spectrum along y is",
}
_LEAST_NOISE, _MOST_NOISE = math.sqrt(0.5), 2.0  # of mixtures of frames, see `dose_weights`


def explain_misfit(
    card: Mapping[str, Any],
    *,
    settings: ScanSettings,
    scale: SeriesScale,
    noise: Sequence[float] = (),
    frames: Sequence[FrameCharacter] = (),
    recorded: bool = False,
) -> list[str]:
    """Say where a series is clearly unlike what a filter was trained for.

    Parameters
    ----------
    card : mapping
        Of the filter. Entries that it lacks, as those of older versions do, are not compared.
    settings : ScanSettings
        Of the rapid frames as recorded, as on the card.
    scale : SeriesScale
        Of the series.
    noise : sequence of float
        Noise of some corrected frames against the series' spread (`relative_noise`), for
        cards that say nothing of single frames.
    frames : sequence of FrameCharacter
        What some corrected frames are like (`SeenFrames.character`), for cards that do.
    recorded : bool
        Whether they are as recorded, not interpolated.

    Returns
    -------
    list of str
        Sentences, each with both values; empty where all fits.

    Notes
    -----
    What counts as clearly outside:

    - Pixel size and dwell time: a factor of 1.2 from the setting trained for. A filter knows
      pixels, not nanometres or seconds: a line of 5 px, or a smear of 5 px, is then one pixel
      wider or narrower, the least that a network which sees single pixels can take for something
      else. Microscopes offer both in steps of 1.25 and more, so what is nominally the same passes,
      however it was rounded.
    - Noise, lag, sizes of structures: where more than half of the frames are out of range in that
      respect, as `SeenFrames` flags them one by one when they are filtered.
    - Noise, on cards of before that: a factor of 1.5 beyond the range seen, which is 2.25 in
      dose. Single frames of one setting differ by less (interpolation at half a pixel alone takes
      a factor of up to 2.4 away from the noise along y, and training frames lie at every fraction
      of a pixel, so that spread is in the range already). Where the training varied the dose, the
      range is wider by one standard deviation of that.
    - Contrast (spread / centre): a factor of 3 beyond the range seen. Frames are scaled by centre
      and spread before the network sees them, so gain and dark level of the detector alone do no
      harm; but they move the contrast, and only a large change tells of another kind of specimen
      or detector mode.
    """
    return [
        *_of_settings(card, settings),
        *_of_frames(card, frames, recorded=recorded),
        *_of_images(card, scale, noise),
    ]


def _of_settings(card: Mapping[str, Any], settings: ScanSettings) -> Iterator[str]:
    trained = card.get("scan_settings")
    for name, label, unit, harm in (
        ("pixel_size_nm", "pixel size", "nm", "structures have another size in pixels"),
        ("dwell_time_ns", "dwell time", "ns", "smear has another length in pixels, noise differs"),
    ):
        ours = getattr(settings, name)
        theirs = _number(trained, name)
        if ours is None or theirs is None or not theirs > 0:
            continue
        if times := _times(ours, theirs, theirs, SETTING_TOLERANCE):
            yield (
                f"{label} is {ours:.4g} {unit}, but the filter was trained at {theirs:.4g} {unit} "
                f"({times}): {harm}; train on series of this setting"
            )


def _of_frames(
    card: Mapping[str, Any], frames: Sequence[FrameCharacter], *, recorded: bool
) -> Iterator[str]:
    seen = SeenFrames.of_card(card, recorded=recorded)
    if seen is None:
        return
    judged = [seen.compare(frame) for frame in frames]
    for respect, bit in RESPECTS.items():
        outside = [found.worst[respect] for found in judged if found.flag & bit]
        if 2 * len(outside) <= len(frames):
            continue
        name = mode(outside)
        value = median(getattr(f, name) for f in frames if math.isfinite(getattr(f, name)))
        low, high, _ = seen.ranges[name]
        if respect == "noise":
            yield from _of_noise(math.exp(value), math.exp(low), math.exp(high), tolerance=1.0)
        elif respect in _HARM:
            yield (
                f"{_WORDS[name]} {value:.3g}, but {low:.3g} to {high:.3g} was seen in training: "
                f"{_HARM[respect]}; train on series like this one"
            )


def _of_noise(ours: float, low: float, high: float, *, tolerance: float) -> Iterator[str]:
    if times := _times(ours, low, high, tolerance):
        harm = "noise may stay, or turn into structure" if ours > high else "detail may be lost"
        yield (
            f"noise of a frame is {ours:.3g} of the series' spread, but {low:.3g} to {high:.3g} "
            f"was seen in training ({times}): {harm}; train on series of this dose and contrast"
        )


def _of_images(
    card: Mapping[str, Any], scale: SeriesScale, noise: Sequence[float]
) -> Iterator[str]:
    less, more = _varied_dose(card)
    seen, ours = _range(card, "noise"), median(noise) if noise else None
    if seen is not None and ours is not None:
        yield from _of_noise(ours, seen[0] * less, seen[1] * more, tolerance=NOISE_TOLERANCE)
    seen = _range(card, "contrast")
    if seen is not None and scale.center > 0:
        contrast = scale.spread / scale.center
        if times := _times(contrast, *seen, CONTRAST_TOLERANCE):
            yield (
                f"contrast (spread / centre of the intensities) is {contrast:.3g}, but "
                f"{seen[0]:.3g} to {seen[1]:.3g} was seen in training ({times}): is it another "
                "specimen or detector? compare with --filter dcfi"
            )


def _times(value: float, low: float, high: float, tolerance: float) -> str:
    """Say how far a value lies outside a range, or nothing where it does not lie clearly so."""
    if value > high * tolerance:
        return f"{value / high:.3g} times as much"
    if value * tolerance < low:
        return f"{low / value:.3g} times less" if value > 0 else "none"
    return ""


def _varied_dose(card: Mapping[str, Any]) -> tuple[float, float]:
    """Factors by which the training made frames less and more noisy than they were."""
    jitter = _number(card.get("recipe"), "dose_jitter") or 0.0
    factor = math.exp(jitter / 2)  # noise goes with the root of the dose
    return max(1 / factor, _LEAST_NOISE), min(factor, _MOST_NOISE)


def _number(entry: Any, name: str) -> float | None:
    value = entry.get(name) if isinstance(entry, Mapping) else None
    return float(value) if isinstance(value, int | float) else None


def _range(card: Mapping[str, Any], name: str) -> tuple[float, float] | None:
    seen = card.get("seen")
    found = seen.get(name) if isinstance(seen, Mapping) else None
    if not isinstance(found, list | tuple) or len(found) != 2:
        return None
    numbers = all(isinstance(v, int | float) and v > 0 for v in found)
    return (float(found[0]), float(found[1])) if numbers else None
