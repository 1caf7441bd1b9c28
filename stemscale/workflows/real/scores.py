"""What ``summarize`` found of single series, as it lies in the store."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemscale.errors import StoreError
from stemscale.store import SUMMARY, AcquisitionStore, filtered_group, rapid_group

RAPID = "rapid"
_NM_PER_UM = 1000.0


class SeriesScores:
    """Scores of series, by field of view, type of image, and name.

    Parameters
    ----------
    store : Path
        Summarized.
    printed : Path
        What ``summarize --json`` printed.
    sizes_nm : mapping of str to float or None
        Pixel size by FOV [nm]; None where it is not known.

    Raises
    ------
    StoreError
        If there is no summary, or the file holds something else.
    """

    def __init__(self, store: Path, printed: Path, *, sizes_nm: Mapping[str, float | None]) -> None:
        self._sizes_nm = sizes_nm
        try:
            opened = self._store = AcquisitionStore(store)
            with opened.dataset(SUMMARY) as dataset:
                self._summary = dataset.load()
            self._fovs = list(self._summary.attrs["fov_names"])
            self._types = list(self._summary.attrs["filter_names"])
            rows = json.loads(printed.read_text())["out_of_range"]
            self._misfits = {
                (fov, name): opened.attrs(filtered_group(fov, name)).get("filter_misfit") or ()
                for fov in self._fovs
                for name in opened.filters(fov)
            }
            self._outside = {(r["fov"], r["filter"]): str(r["words"]) for r in rows}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{store} and {printed} are not what `stemscale summarize --json` leaves "
                f"({error}): delete both, and run the study again"
            ) from error

    def get(self, fov: str, type_: str, score: str) -> float | None:
        """Look a score up.

        Parameters
        ----------
        fov, type_ : str
        score : str
            As the summary calls it, without ``_mean``.

        Returns
        -------
        float or None
            Wave numbers in 1/px; None where it is not known.
        """
        variable = f"{score}_mean"
        if variable not in self._summary or type_ not in self._types:
            return None
        values = self._summary[variable]
        found = float(values.values[self._fovs.index(fov), self._types.index(type_)])
        if found != found:
            return None
        size = self._sizes_nm[fov]
        if values.attrs.get("units") == "1/um" and size is not None:
            return found * size / _NM_PER_UM
        return found

    def contrast_left(self, fov: str, type_: str, filter_: str) -> float:
        """Give the spread of the mean filtered frame over that of the mean frame.

        Parameters
        ----------
        fov : str
        type_ : str
            The frames as they are compared: ``rapid``, or the name of filtered ones.
        filter_ : str
        """
        groups = (filtered_group(fov, filter_), _group(fov, type_))
        left, whole = (np.nanstd(self._mean(group)) for group in groups)
        return float(left / whole) if whole else 1.0

    def _mean(self, group: str) -> NDArray[np.floating[Any]]:
        with self._store.dataset(group) as dataset:
            return np.asarray(dataset["frames"].mean("frame").values)

    def misfit(self, fov: str, filter_: str) -> Sequence[str]:
        """Say in which respects a series is clearly unlike what a filter was trained on."""
        return self._misfits.get((fov, filter_), ())

    def outside(self, fov: str, filter_: str) -> str:
        """Say how many frames lie outside what a filter was trained on; empty where none do."""
        return self._outside.get((fov, filter_), "")


def _group(fov: str, type_: str) -> str:
    return rapid_group(fov) if type_ == RAPID else filtered_group(fov, type_)
