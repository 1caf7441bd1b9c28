"""The whole way once, on frames with a known truth, by the very commands that a user types."""

import shutil
from collections.abc import Callable
from pathlib import Path

from stemscale.errors import StoreConflictError
from stemscale.workflows.commands import run_command, typed, words

_MARK = "made-by-stemscale-demo"

# Small enough for five minutes on two cores; two FOVs of nine are held out of training.
_FOVS, _FRAMES, _SIZE, _MINUTES = 9, 20, 256, 1.25


def commands(folder: Path) -> list[tuple[str, ...]]:
    """Give the commands of the demo, in order.

    Parameters
    ----------
    folder : Path
        Where all of it lies.

    Returns
    -------
    list of tuple of str
        Each one as typed, from ``stemscale`` on.
    """
    raw, store = folder / "microscope", folder / "demo.zarr"
    learned = folder / "demo-filter.safetensors"
    truth = raw / "truth.zarr"
    picture = folder / "before-after.png"
    size = ["--fovs", str(_FOVS), "--frames", str(_FRAMES), "--size", str(_SIZE)]
    steps = [
        ["simulate", raw, *size],
        ["ingest", store, "--manifest", raw / "fovs.csv"],
        ["calibrate", store],
        ["train", store, "--output", learned, "--minutes", str(_MINUTES)],
        ["process", store, "--filter", "dcfi"],
        ["process", store, "--filter", learned],
        ["verify", store],
        ["summarize", store, "--truth", truth],
        ["report", store, "--output", folder / "report.html", "--picture", picture],
    ]
    return [words(*step) for step in steps]


def demo(folder: str | Path = "demo", *, say: Callable[[str], None] = print) -> Path:
    """Simulate, ingest, calibrate, train, process, verify, summarize and report.

    Parameters
    ----------
    folder : str or Path
        Where everything goes; what an earlier demo left there is replaced.
    say : callable
        Given each command before it runs.

    Returns
    -------
    Path
        The report.

    Raises
    ------
    StoreConflictError
        If the folder holds something else.
    ProcessingError
        If a command fails.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        if not (folder / _MARK).is_file():
            raise StoreConflictError(
                f"{folder} is not empty and not of an earlier demo: name another folder"
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARK).touch()
    for command in commands(folder):
        say(f"\n$ {typed(command)}")
        run_command(command)
    report = folder / "report.html"
    say(f"\nreport:  {report}")
    say(f"picture: {folder / 'before-after.png'}")
    say(f"store:   {folder / 'demo.zarr'}")
    return report
