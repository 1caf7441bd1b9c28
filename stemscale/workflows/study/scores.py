"""What ``summarize`` found: means over frames by type of image, and means of each field of view."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemscale.errors import StoreError
from stemscale.store import SUMMARY, AcquisitionStore

RAPID = "rapid"
_UNTAUGHT = ("held-out", "all", "slow scan after")  # FOVs that no filter was trained on


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """A mean over frames, and their standard deviation."""

    mean: float
    std: float
    units: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A mean over fields of view, with its standard error.

    Attributes
    ----------
    mean, error : float
    n : int
        Fields of view.
    """

    mean: float
    error: float
    n: int

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> "Estimate":
        """Average values, one of each FOV; of a single one the error is infinite."""
        n = len(values)
        error = float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.inf
        return cls(mean=float(values.mean()), error=error, n=n)

    def exceeds(self, limit: float) -> bool | None:
        """Tell whether it lies above a limit, or None within twice its standard error of it."""
        if abs(self.mean - limit) <= 2 * self.error:
            return None
        return self.mean > limit

    def __str__(self) -> str:
        return f"{self.mean:.1f} ± {self.error:.1f}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """Scores of FOVs that no filter was trained on.

    Attributes
    ----------
    rows : sequence of mapping
        One for each type of image.
    last_frames : sequence of mapping
        Of in-situ series, against the slow scan after them (row Q9).
    by_fov : mapping
        Mean over the frames of each FOV, by type and score, in one order of FOVs.
    """

    rows: Sequence[Mapping[str, Any]]
    last_frames: Sequence[Mapping[str, Any]]
    by_fov: Mapping[tuple[str, str], NDArray[np.float64]] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path, store: Path) -> "Scores":
        """Read what was printed, and the scores of frames in the store.

        Raises
        ------
        StoreError
            If the file holds something else.
        """
        try:
            found = json.loads(file.read_text())
            rows = [row for row in found["scores"] if row["fov_group"] in _UNTAUGHT]
            types = [row["type"] for row in rows]
            last = [_with_matched(row, store) for row in found["last_frames"]]
            return cls(rows=rows, last_frames=last, by_fov=_by_fov(store, types))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{file} is not what `stemscale summarize --json` prints ({error}): delete it, "
                "and run the study again"
            ) from error

    @property
    def types(self) -> tuple[str, ...]:
        """Types of images, ``rapid`` and the names of filters."""
        return tuple(row["type"] for row in self.rows)

    def get(self, type_: str, score: str, band: str = "") -> Score | None:
        """Look a score up, or None where there is none."""
        for row in self.rows:
            for one in row["statistics"]:
                there = one["mean"] is not None  # what is not finite is null
                if (row["type"], one["score"], one["band"], there) == (type_, score, band, True):
                    return Score(mean=one["mean"], std=one["std"], units=one["units"])
        return None

    def estimate(self, type_: str, score: str) -> Estimate | None:
        """Give a score as the mean over FOVs, or None where it was not taken."""
        values = self.by_fov.get((type_, score))
        return None if values is None else Estimate.of(values)

    def difference(self, one: str, other: str, score: str) -> Estimate | None:
        """Give by how much a score of one type lies above another's, paired by FOV."""
        pair = [self.by_fov.get((type_, score)) for type_ in (one, other)]
        if pair[0] is None or pair[1] is None:
            return None
        return Estimate.of(pair[0] - pair[1])

    def bands(self, score: str = "psnr_band") -> tuple[str, ...]:
        """List the bands of intensity that a score was taken over (row Q3)."""
        found = (s["band"] for row in self.rows for s in row["statistics"] if s["score"] == score)
        return tuple(dict.fromkeys(found))


def gain_percent(last: Mapping[str, Any], *, matched: bool = False) -> float:
    """Tell by how much a last frame's PSNR lies above that of the rapid frame [%].

    ``matched``: after the best gain and offset of either.
    """
    ending = "_matched_db" if matched else "_db"
    return 100.0 * (float(last[f"filtered{ending}"]) / float(last[f"rapid{ending}"]) - 1.0)


def _by_fov(store: Path, types: Sequence[str]) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Average each score over the frames of each FOV of which all types were scored."""
    opened = AcquisitionStore(store)
    fovs = [f for f in opened.fovs() if all(opened.has(f"{SUMMARY}/{f}/{t}") for t in types)]
    found: dict[tuple[str, str], list[float]] = {}
    for fov in fovs:
        for type_ in types:
            with opened.dataset(f"{SUMMARY}/{fov}/{type_}") as dataset:
                for name in map(str, dataset.data_vars):
                    if dataset[name].dims == ("frame",):
                        known = dataset[name].values
                        known = known[np.isfinite(known)]
                        if len(known):
                            found.setdefault((type_, name), []).append(float(known.mean()))
    return {key: np.array(means) for key, means in found.items() if len(means) == len(fovs)}


def _with_matched(last: Mapping[str, Any], store: Path) -> dict[str, Any]:
    """Add the PSNR after the best gain and offset to that of a last frame."""
    found = dict(last)
    for key, type_ in (("rapid", RAPID), ("filtered", last["filter"])):
        group = f"{SUMMARY}/{last['fov']}/{type_}"
        with AcquisitionStore(store).dataset(group) as dataset:
            matched = dataset["psnr_matched"].sel(frame=last["frame"])
            found[f"{key}_matched_db"] = float(matched.values)
    return found
