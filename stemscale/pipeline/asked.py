"""What is asked of `process`, apart from where and when; refused before any series is looked at."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stemscale.distortion import INTERPOLATIONS, Interpolation
from stemscale.errors import SettingsError
from stemscale.pipeline.filters import FilterChoice, choose_filter, output_name
from stemscale.pipeline.pixels import require_dtype
from stemscale.store import AcquisitionStore


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What frames to make, and how; see `plan_process` for each.

    Attributes
    ----------
    filter : str, Path or None
    name : str or None
    fovs : sequence of str
    distortion : str, Path or None
    force : bool
    interpolation : {"linear", "cubic", "lanczos"}
    dtype : str or None
    window : int or None
    weighted, drift, overwrite, retry_failed : bool
    """

    filter: str | Path | None
    name: str | None
    fovs: Sequence[str]
    distortion: str | Path | None
    force: bool
    interpolation: Interpolation
    dtype: str | None
    window: int | None
    weighted: bool
    drift: bool
    overwrite: bool
    retry_failed: bool

    def choice(self) -> FilterChoice:
        """Resolve the filter, see `choose_filter`."""
        return choose_filter(self.filter, window=self.window, weighted=self.weighted)

    def check(self, choice: FilterChoice) -> str:
        """Refuse what cannot be, whatever the series; a run that waits for frames asks before.

        Parameters
        ----------
        choice : FilterChoice
            The filter, resolved.

        Returns
        -------
        str
            Name of the output.

        Raises
        ------
        SettingsError
            If the interpolation, the dtype or the name cannot be, or there is nothing to force, or
            no drift to undo since the frames become one.
        StoreError
            If there is no store with the distortion.
        """
        if self.interpolation not in INTERPOLATIONS:
            raise SettingsError(
                f"interpolation {self.interpolation!r} is unknown: choose one of "
                f"{', '.join(INTERPOLATIONS)}"
            )
        require_dtype(self.dtype)
        is_other = self.distortion is not None and str(self.distortion) != "none"
        if self.force and not is_other:
            raise SettingsError(
                "--force is for a distortion of another scan: with --distortion STORE"
            )
        if self.distortion is not None and is_other:
            AcquisitionStore(self.distortion)
        name = output_name(choice, self.name)
        if self.drift and choice.whole_series:
            raise SettingsError("--drift is for series: --filter dcfi aligns its frames by itself")
        return name

    def check_follows(self, choice: FilterChoice) -> None:
        """Refuse what cannot be made of a series while it grows.

        Raises
        ------
        SettingsError
            If it needs the whole series, or a slow scan that is taken after it.
        """
        why = {
            choice.whole_series: "averages the whole series: give --window N for a rolling average",
            choice.classical: "is tuned on the series and its slow scan",
            self.drift: "with --drift needs the whole series",
        }.get(True)
        if why is not None:
            raise SettingsError(
                f"--filter {choice.label} {why}: it cannot follow one that grows; run `stemscale "
                f"process` without --follow once it is complete"
            )
