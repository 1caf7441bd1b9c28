"""All that is done with real series, as a list of commands that a user can type."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from stemscale.workflows.commands import words
from stemscale.workflows.real.survey import RealSeries
from stemscale.workflows.study.steps import Step

ALIGNED = "none"
"""Output of ``process --filter none --drift``: the rapid frames on one grid, and nothing else."""

DCFI = "dcfi"
LEARNED = ("standard", "live")  # those in the package


class RealStudy:
    """Files of a study of real series, and the commands that make them.

    Parameters
    ----------
    folder : Path
    series : sequence of RealSeries
        At least one.
    """

    def __init__(self, folder: Path, series: Sequence[RealSeries]) -> None:
        self.folder, self.series = folder, tuple(series)

    @property
    def store(self) -> Path:
        """The store of all series, a FOV each."""
        return self.folder / "series.zarr"

    @property
    def scores(self) -> Path:
        """What ``summarize --json`` printed."""
        return self.folder / "scores.json"

    def picture(self, fov: str) -> Path:
        """Name the picture of a series."""
        return self.folder / "pictures" / f"{fov}.png"

    def report(self, fov: str) -> Path:
        """Name the page that ``report`` writes of a series, with all figures."""
        return self.folder / "reports" / f"{fov}.html"

    def steps(self) -> Iterator[Step]:
        """Go through all commands, each after those that it needs."""
        for one in self.series:
            signal = () if one.detector is None else ("--detector", one.detector)
            yield Step(
                name=f"ingest-{one.fov}",
                command=words("ingest", self.store, one.file, "--fov", one.fov, *signal),
            )
        made = []
        for name, filter_, fovs, options in self._runs():
            chosen = (part for fov in fovs for part in ("--fov", fov))
            yield Step(
                name=name,
                command=words("process", self.store, "--filter", filter_, *options, *chosen),
                needs=tuple(f"ingest-{fov}" for fov in fovs),
                again=("--overwrite",),
            )
            made.append(name)
        yield Step(
            name="summarize",
            command=words("summarize", self.store, "--json"),
            needs=tuple(made),
            output=self.scores,
        )
        for one in self.series:
            picture = ("--picture", self.picture(one.fov), "--output", self.report(one.fov))
            yield Step(
                name=f"report-{one.fov}",
                command=words("report", self.store, "--fov", one.fov, *picture),
                needs=("summarize",),
            )

    def _runs(self) -> Iterator[tuple[str, str, list[str], tuple[str, ...]]]:
        """Give name, filter, FOVs and options of every run of ``process``."""
        still = [one.fov for one in self.series if not one.drifts]
        moving = [one.fov for one in self.series if one.drifts]
        as_recorded = ("--distortion", "none")
        # which aligns frames by itself, on the grid that --drift brings them to
        yield f"process-{DCFI}", DCFI, [*still, *moving], as_recorded
        for filter_ in LEARNED:
            if still:
                yield f"process-{filter_}", filter_, still, as_recorded
        for filter_ in (*LEARNED, ALIGNED):
            if moving:
                yield f"process-{filter_}-drift", filter_, moving, (*as_recorded, "--drift")
