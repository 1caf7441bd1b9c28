"""What ``summarize --json`` printed, by type of image and score."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemscale.errors import StoreError

RAPID = "rapid"
_UNTAUGHT = ("held-out", "all", "slow scan after")  # FOVs that no filter was trained on


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """A mean over frames, and their standard deviation."""

    mean: float
    std: float
    units: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """Scores of FOVs that no filter was trained on.

    Attributes
    ----------
    rows : sequence of mapping
        One for each type of image.
    last_frames : sequence of mapping
        Of in-situ series, against the slow scan after them (row Q9).
    """

    rows: Sequence[Mapping[str, Any]]
    last_frames: Sequence[Mapping[str, Any]]

    @classmethod
    def read(cls, file: Path) -> "Scores":
        """Read what was printed.

        Raises
        ------
        StoreError
            If the file holds something else.
        """
        try:
            found = json.loads(file.read_text())
            rows = [row for row in found["scores"] if row["fov_group"] in _UNTAUGHT]
            return cls(rows=rows, last_frames=found["last_frames"])
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

    def bands(self, score: str = "psnr_band") -> tuple[str, ...]:
        """List the bands of intensity that a score was taken over (row Q3)."""
        found = (s["band"] for row in self.rows for s in row["statistics"] if s["score"] == score)
        return tuple(dict.fromkeys(found))


def gain_percent(last: Mapping[str, Any]) -> float:
    """Tell by how much a last frame's PSNR lies above that of the rapid frame [%]."""
    return 100.0 * (float(last["filtered_db"]) / float(last["rapid_db"]) - 1.0)
