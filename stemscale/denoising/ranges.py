"""The range of what single frames were like in training, and how far outside it a frame lies."""

import math
from collections.abc import Hashable, Mapping
from dataclasses import astuple, dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stemscale.denoising.character import FrameCharacter, frame_character
from stemscale.denoising.scaling import SeriesScale, frame_min_max

RESPECTS: Mapping[str, int] = {"intensity": 1, "noise": 2, "lag": 4, "spectrum": 8}
"""In which respects a frame may lie out of range, and their bits in a flag."""

# Respect, and least tolerance, of each number of `FrameCharacter`: some times what frames of one
# series scatter by, and no less than what a network can hardly be troubled by.
_MEASURES: Mapping[str, tuple[str, float]] = {
    "dark": ("intensity", 0.3),  # spreads
    "middle": ("intensity", 0.25),
    "bright": ("intensity", 0.3),
    "contrast": ("intensity", 0.25),  # of a logarithm: a factor of 1.3
    "saturated": ("intensity", 0.01),
    "noise": ("noise", 0.25),
    "along_1": ("lag", 0.03),
    "along_2": ("lag", 0.03),
    "along_3": ("lag", 0.03),
    "along_6": ("lag", 0.03),
    "across_1": ("lag", 0.08),
    "across_2": ("lag", 0.04),
    "fine": ("spectrum", 0.2),
    "coarse": ("spectrum", 0.25),
    "peak_x": ("spectrum", 0.3),
    "peak_y": ("spectrum", 0.3),
}
_FEW = 4.0  # see `CharacterRanges.to_card`
_QUANTILES = (0.005, 0.995)
_DIGITS = 4


class CharacterRanges:
    """Gathers what the frames of a training are like.

    ``ranges.add(frame, scale)`` for some frames of each series, as the network gets them; then
    ``card["seen"]["frames"] = ranges.to_card()``.
    """

    def __init__(self) -> None:
        self._rows: dict[Hashable, list[tuple[float, ...]]] = {}

    def add(
        self, frame: NDArray[Any], scale: SeriesScale | None, *, series: Hashable = None
    ) -> None:
        """Take a frame into account.

        Parameters
        ----------
        frame : ndarray, shape (y, x)
            Corrected, augmented as for the training [counts]; NaN = not seen.
        scale : SeriesScale or None
            On which it enters the network; None: by its own minimum and maximum.
        series : hashable, optional
            Of which series it is; by default, each scale is of another one.
        """
        on = scale or frame_min_max(frame)
        row = astuple(frame_character(frame, on))
        self._rows.setdefault(on if series is None else series, []).append(row)

    def to_card(self) -> dict[str, Any] | None:
        """Give the ranges as JSON values, for the card's ``seen["frames"]``.

        Returns
        -------
        dict or None
            ``count`` of frames, of ``series``, and ``ranges``: ``[low, high, tolerance]`` by name
            of a number of `FrameCharacter`. None without frames; a number that no frame tells is
            left out.

        Notes
        -----
        low and high are the 0.5 % and 99.5 % quantiles over all frames; of fewer than 200, about
        the smallest and the largest. Beyond, a tolerance: the least one of the number, and because
        few series show but a part of how far series lie apart, 4 / series^(3/4) times that: 1.4
        times for four series, 0.4 for twenty, nothing for thousands. So of normally distributed
        numbers, what lies beyond it is 3.5 standard deviations or more from their mean.
        """
        if not self._rows:
            return None
        ranges = {}
        for i, field in enumerate(fields(FrameCharacter)):
            by_series = [np.array([row[i] for row in rows]) for rows in self._rows.values()]
            known = [of[np.isfinite(of)] for of in by_series]
            known = [of for of in known if of.size]
            if not known:
                continue
            low, high = np.quantile(np.concatenate(known), _QUANTILES)
            apart = float(np.ptp([np.median(of) for of in known]) if len(known) > 1 else high - low)
            tolerance = _MEASURES[field.name][1] + _FEW / len(known) ** 0.75 * min(
                apart, high - low
            )
            ranges[field.name] = [_rounded(v) for v in (low, high, tolerance)]
        count = sum(len(rows) for rows in self._rows.values())
        return {"series": len(self._rows), "count": count, "ranges": ranges}


@dataclass(frozen=True, kw_only=True, slots=True)
class OutOfRange:
    """How far a frame lies outside what a filter was trained on.

    Attributes
    ----------
    score : float
        The largest of ``scores``; NaN where nothing could be measured.
    flag : int
        Sum of the bits (`RESPECTS`) of those of which the score is 1 or more.
    scores : mapping of str to float
        By respect: 0 within the range, 1 a tolerance outside it.
    worst : mapping of str to str
        By respect, the number of `FrameCharacter` that lies farthest outside.
    """

    score: float
    flag: int
    scores: Mapping[str, float]
    worst: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class SeenFrames:
    """What a filter's card says of the frames it was trained on.

    Attributes
    ----------
    ranges : mapping of str to (float, float, float)
        Low, high, tolerance, by name of a number of `FrameCharacter`.
    own_scale : bool
        Whether frames enter the network by their own minimum and maximum.

    Examples
    --------
    In training, noise was e^-3 to e^-1 of the spread of a series. A frame with as much noise as
    spread lies four tolerances outside:

    >>> from stemscale.denoising import FrameCharacter, SeenFrames
    >>> seen = SeenFrames(ranges={"noise": (-3.0, -1.0, 0.25)})
    >>> judged = seen.compare(FrameCharacter(noise=0.0))
    >>> judged.score, judged.flag, judged.worst
    (4.0, 2, {'noise': 'noise'})
    >>> seen.compare(FrameCharacter(noise=-1.1)).score
    0.0
    """

    ranges: Mapping[str, tuple[float, float, float]]
    own_scale: bool = False

    @classmethod
    def of_card(cls, card: Mapping[str, Any], *, recorded: bool = False) -> Self | None:
        """Read a card.

        Parameters
        ----------
        card : mapping
            Of a filter.
        recorded : bool
            Whether the frames to come are as recorded. Noise of interpolated frames is alike in
            neighbouring rows, as that of a camera is; that of a scan as recorded never is. A filter
            that was trained on both says what those as recorded were like.

        Returns
        -------
        SeenFrames or None
            None where the card says nothing, as those of older versions.
        """
        seen = card.get("seen")
        seen = seen if isinstance(seen, Mapping) else {}
        found: Any = (recorded and seen.get("frames_recorded")) or seen.get("frames")
        found = found.get("ranges") if isinstance(found, Mapping) else None
        if not isinstance(found, Mapping):
            return None
        ranges = {
            n: tuple(map(float, r)) for n, r in found.items() if n in _MEASURES and _is_range(r)
        }
        if not ranges:
            return None
        return cls(ranges=ranges, own_scale=card.get("normalisation") != "series")  # type: ignore[arg-type]

    def judge(self, frame: NDArray[Any], scale: SeriesScale) -> OutOfRange:
        """Say how far outside a frame lies.

        Parameters
        ----------
        frame : ndarray, shape (y, x)
            Corrected, as the network gets it [counts]; NaN = not seen.
        scale : SeriesScale
            Of its series.
        """
        return self.compare(self.character(frame, scale))

    def character(self, frame: NDArray[Any], scale: SeriesScale) -> FrameCharacter:
        """Measure a frame on the scale on which it enters the network."""
        return frame_character(frame, frame_min_max(frame) if self.own_scale else scale)

    def compare(self, character: FrameCharacter) -> OutOfRange:
        """Say how far outside a frame of this character lies."""
        scores: dict[str, float] = {}
        worst: dict[str, str] = {}
        for name, (low, high, tolerance) in self.ranges.items():
            value, respect = getattr(character, name), _MEASURES[name][0]
            if math.isfinite(value):
                score = max(low - value, value - high, 0.0) / tolerance
                if respect not in scores or score > scores[respect]:
                    scores[respect], worst[respect] = score, name
        return OutOfRange(
            score=max(scores.values(), default=math.nan),
            flag=sum(RESPECTS[respect] for respect, score in scores.items() if score >= 1),
            scores=scores,
            worst=worst,
        )


def _is_range(found: Any) -> bool:
    numbers = isinstance(found, list | tuple) and all(isinstance(v, int | float) for v in found)
    return numbers and len(found) == 3 and found[2] > 0


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
