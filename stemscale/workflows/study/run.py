"""A folder and a scale come in; the paper's study, and a page about it, go out."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from stemscale.errors import SettingsError
from stemscale.workflows.study.folder import take_folder
from stemscale.workflows.study.page import write_page
from stemscale.workflows.study.plan import Study
from stemscale.workflows.study.scales import SCALES
from stemscale.workflows.study.steps import StepRecords, run_steps


def reproduce(
    folder: str | Path, *, scale: str = "small", say: Callable[[str], None] = print
) -> Path:
    """Run the paper's study on simulated frames; where it was interrupted, go on.

    Parameters
    ----------
    folder : str or Path
        Where everything goes.
    scale : {"small", "paper"}
        How large it is: for two cores, or 66 FOVs of 50 frames as in the paper.
    say : callable
        Given each command before it runs, and those that have been run.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    SettingsError
        If there is no such scale.
    StoreConflictError
        If the folder holds something else, or a study of another scale.
    ProcessingError
        If a command fails.
    """
    if scale not in SCALES:
        raise SettingsError(f"there is no scale {scale!r}: take one of {', '.join(SCALES)}")
    study = Study(Path(folder), scale, SCALES[scale])
    about = {"scale": scale, "numbers": asdict(SCALES[scale])}
    take_folder(study.folder, about, told_by="scale")
    for made in ("filters", "scores", "figures"):
        (study.folder / made).mkdir(exist_ok=True)
    records = StepRecords(folder=study.folder / "steps", root=study.folder)
    run_steps(study.steps(), records, say=say)
    page = write_page(study, records)
    say(f"\nresults: {page}")
    return page
