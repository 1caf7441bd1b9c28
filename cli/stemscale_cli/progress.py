"""Progress bars, fed by the events of the library; on a terminal only."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from stemscale_cli.log_lines import Listener, announce, is_a, kept_up, what_it_waits_for
from stemscale_cli.output import plain


@contextmanager
def bar(
    listener_of: Callable[[Any, Any], Listener], *, quiet: bool, unit: str
) -> Iterator[Listener]:
    """Show a bar while something long runs.

    Parameters
    ----------
    listener_of : callable
        Given the bar and its task, returns the listener that moves it.
    quiet : bool
        Whether to show nothing.
    unit : str
        Of what is counted: "frames", "FOVs".

    Yields
    ------
    callable
        The listener; where there is no bar, it says only what work has to wait for.
    """
    if quiet or not sys.stderr.isatty():
        yield what_it_waits_for()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text("" if task.speed is None else f"{task.speed:.3g} {unit}/s")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn(unit),
        Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("starting", total=None, note="")
        yield listener_of(progress, task)


def counted(description: str) -> Callable[[Any, Any], Listener]:
    """Count FOVs, for steps that handle one after the other."""

    def listener_of(progress: Any, task: Any) -> Listener:
        def listen(event: Any) -> None:
            progress.update(
                task,
                description=f"{description} {event.fov}",
                completed=event.done,
                total=event.total,
            )

        return listen

    return listener_of


def frames_of(verb: str) -> Callable[[Any, Any], Listener]:
    """Count frames, for steps that handle block after block."""

    def listener_of(progress: Any, task: Any) -> Listener:
        def listen(event: Any) -> None:
            progress.update(
                task,
                description=f"{verb} {event.fov}",
                advance=event.frames,
                total=event.frames_in_all,
            )

        return listen

    return listener_of


def scoring(progress: Any, task: Any) -> Listener:
    """Follow `summarize`: frames scored, raw and filtered."""

    def listen(event: Any) -> None:
        from stemscale.pipeline import BlockDone, ScoringStarted, Waiting

        if isinstance(event, ScoringStarted):
            progress.update(task, total=event.frames)
        elif isinstance(event, BlockDone):
            progress.update(task, description=f"score {event.fov}", advance=event.frames)
        elif isinstance(event, Waiting):
            progress.console.print(plain(f"waiting: {event.reason}"), markup=False)

    return listen


def calibrating(progress: Any, task: Any) -> Listener:
    """Follow `calibrate`: frames aligned, by FOV; then the estimate, which has no steps."""

    def listen(event: Any) -> None:
        from stemscale.pipeline import FramesAligned

        if isinstance(event, FramesAligned):
            if event.done == event.frames:  # another FOV: its rate starts anew
                progress.reset(task)
            _show_alignment(progress, task, event)

    return listen


def _show_alignment(progress: Any, task: Any, event: Any) -> None:
    progress.update(task, description=f"align {event.fov}", completed=event.done, total=event.total)


def ingesting(progress: Any, task: Any) -> Listener:
    """Follow `ingest`: frames, and MB/s as a note."""
    import time

    began = time.perf_counter()
    n_bytes = 0

    def listen(event: Any) -> None:
        nonlocal n_bytes
        n_bytes += event.bytes
        rate = n_bytes / 1e6 / max(1e-9, time.perf_counter() - began)
        progress.update(
            task,
            description=f"ingest {event.fov}",
            advance=event.frames,
            total=event.frames_in_all,
            note=f"{rate:.0f} MB/s",
        )

    return listen


def training(progress: Any, task: Any) -> Listener:
    """Follow `train`: share of the training, with loss and validation PSNR."""

    def listen(event: Any) -> None:
        from stemscale.pipeline import TrainingStep

        if not isinstance(event, TrainingStep):
            progress.update(
                task, description=f"read {event.fov}", completed=event.done, total=event.total
            )
            return
        now = event.progress
        psnr = now.validation_psnr
        shown = "" if psnr is None else f", validation {psnr:.2f} dB"
        note = f"loss {now.loss:.3g}{shown}, {now.patches_per_s:.0f} patches/s"
        progress.update(
            task, description="train", completed=round(100 * now.share), total=100, note=note
        )

    return listen


def watching(progress: Any, task: Any) -> Listener:
    """Follow `ingest --watch`: frames so far, frames/s, and what it waits for."""

    def listen(event: Any) -> None:
        if is_a(event, "stemscale.ingestion", "WatchNotice"):
            progress.console.print(plain(event.text), highlight=False, markup=False)
            return
        behind = f"{event.behind} behind, " if event.behind else ""
        progress.update(
            task,
            description=f"watch {event.fov}",
            completed=event.frames,
            note=f"{behind}waiting for {event.waiting_for}",
        )

    return listen


def processing(progress: Any, task: Any) -> Listener:
    """Follow `process`: frames, failed ones, PSNR, and the address of the dashboard."""
    failed = 0
    told = follows = False

    def listen(event: Any) -> None:
        from stemscale.pipeline import (
            BlockDone,
            BlockFailed,
            Following,
            FramesAligned,
            Ready,
            RunStarted,
            Waiting,
        )

        nonlocal failed, told, follows
        if isinstance(event, Ready | RunStarted) and not told:
            told = True
            announce(event.dashboard, partial(progress.console.print, highlight=False))
        if isinstance(event, FramesAligned):
            _show_alignment(progress, task, event)
        if isinstance(event, RunStarted):
            progress.update(task, description="process", completed=0, total=event.frames)
        elif isinstance(event, Following):
            follows = True
            progress.update(
                task,
                description="follow",
                completed=event.frames - event.behind,
                total=event.frames,
                note=kept_up(event) + (f", {failed} failed" if failed else ""),
            )
        elif isinstance(event, BlockDone) and not follows:
            note = "" if event.psnr is None else f"PSNR {event.psnr:.2f} dB"
            lost = f", {failed} failed" if failed else ""
            progress.update(
                task, description=f"process {event.fov}", advance=event.frames, note=note + lost
            )
        elif isinstance(event, BlockFailed) and event.given_up:
            failed += event.frames
        elif isinstance(event, Waiting):
            progress.update(task, note=f"waiting: {event.reason}")

    return listen


def living(progress: Any, task: Any) -> Listener:
    """Follow `live`: one line of what is taken and what is filtered."""
    follow, files = processing(progress, task), ""

    def listen(event: Any) -> None:
        nonlocal files
        if is_a(event, "stemscale.ingestion", "WatchNotice"):
            progress.console.print(plain(event.text), highlight=False, markup=False)
        elif is_a(event, "stemscale.ingestion", "WatchProgress"):
            files = f", {event.behind} in files" if event.behind else ""
            if not event.frames:
                progress.update(task, description="live", note=f"waiting for {event.waiting_for}")
        else:
            follow(event)
            if is_a(event, "stemscale.pipeline", "Following"):
                progress.update(task, description="live", note=kept_up(event) + files)

    return listen


def simulating(progress: Any, task: Any) -> Listener:
    """Follow `simulate`, frame by frame; then the replay, and how many frames of it are late."""
    late = 0

    def listen(event: Any) -> None:
        nonlocal late
        what, note = "simulate", ""
        if hasattr(event, "late"):
            what = "replay"
            if event.frame == 0:
                progress.reset(task)
            late += event.late
            note = f"{late} late"
        progress.update(
            task,
            description=f"{what} {event.fov}",
            completed=event.done,
            total=event.total,
            note=note,
        )

    return listen


def compacting(progress: Any, task: Any) -> Listener:
    """Follow `compact`, block by block."""
    fovs: set[str] = set()

    def listen(event: Any) -> None:
        if event.fov not in fovs:  # another FOV: its frames are counted anew
            fovs.add(event.fov)
            progress.reset(task)
        progress.update(
            task,
            description=f"compact {event.group}",
            advance=event.frames,
            total=event.frames_in_all,
        )

    return listen
