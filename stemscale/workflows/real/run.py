"""Real series come in; their frames filtered, and a page of what can be told of them, go out."""

from collections.abc import Callable
from pathlib import Path

from stemscale.errors import InputFileError, SettingsError, StoreConflictError
from stemscale.ingestion.files import SourceFile
from stemscale.workflows.real.page import write_page
from stemscale.workflows.real.plan import RealStudy
from stemscale.workflows.real.survey import LEAST_FRAMES, LEAST_PX, microscope_files, survey
from stemscale.workflows.study.folder import take_folder
from stemscale.workflows.study.steps import StepRecords, run_steps


def reproduce_series(
    folder: str | Path, series: str | Path, *, say: Callable[[str], None] = print
) -> Path:
    """Filter real series by what comes with the package, and score them without truth.

    Parameters
    ----------
    folder : str or Path
        Where everything goes; where it was interrupted, the same call goes on.
    series : str or Path
        A folder of microscope files, which may have folders in it.
    say : callable
        Given each command before it runs, and those that have been run.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    SettingsError
        If ``series`` is no folder, or ``folder`` lies in it.
    InputFileError
        If no file is a series.
    StoreConflictError
        If the folder holds something else, or the files have changed since.
    ProcessingError
        If a command fails.
    """
    folder, files = Path(folder), Path(series)
    if not files.is_dir():
        raise SettingsError(f"{files} is no folder: name the folder of your microscope files")
    if folder.resolve().is_relative_to(files.resolve()):
        raise SettingsError(
            f"{folder} lies in {files}, whose files are going to be read: name a folder elsewhere"
        )
    about = {
        "series": str(files.resolve()),
        "files": [SourceFile.of(f).to_json() for f in microscope_files(files)],
    }
    if take_folder(folder, about, told_by="series") != about:
        raise StoreConflictError(
            f"the files in {files} have changed since the study in {folder} was begun: name "
            "another folder"
        )
    say(f"# looking at {len(about['files'])} files in {files}")
    found = survey(files)
    if not found.series:
        raise InputFileError(
            f"{files} holds no series: needed is a file of at least {LEAST_FRAMES} frames of "
            f"{LEAST_PX} × {LEAST_PX} px ({len(found.left_out)} files or signals are none)"
        )
    study = RealStudy(folder, found.series)
    for made in ("pictures", "reports"):
        (folder / made).mkdir(exist_ok=True)
    records = StepRecords(folder=folder / "steps", root=folder)
    run_steps(study.steps(), records, say=say)
    page = write_page(study, found, records)
    say(f"\nresults: {page}")
    return page
