"""What ``summarize`` found of single series, as it lies in the store."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from stemscale.errors import StoreError
from stemscale.store import SUMMARY, AcquisitionStore, filtered_group

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
            opened = AcquisitionStore(store)
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

    def misfit(self, fov: str, filter_: str) -> Sequence[str]:
        """Say in which respects a series is clearly unlike what a filter was trained on."""
        return self._misfits.get((fov, filter_), ())

    def outside(self, fov: str, filter_: str) -> str:
        """Say how many frames lie outside what a filter was trained on; empty where none do."""
        return self._outside.get((fov, filter_), "")
