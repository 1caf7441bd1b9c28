"""``stemscale process``."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from stemscale_cli.options import (
    ClusterFile,
    Fovs,
    Json,
    Overwrite,
    Quiet,
    Store,
    TlsCa,
    TlsCert,
    TlsKey,
    UntilIdle,
    tls_of,
)


def process(
    store: Store,
    filter: Annotated[
        str | None,
        typer.Option(
            metavar="FILTER",
            help="A filter file (.safetensors); standard or live, which come with the package; or "
            "dcfi, gaussian, nlm, bm3d, lag, none.",
        ),
    ] = "standard",
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Name of the output. [default: the word, or the file's stem]"
        ),
    ] = None,
    distortion: Annotated[
        str | None,
        typer.Option(
            metavar="STORE|none",
            help="A store whose distortion is carried over, or none. "
            "[default: each FOV's own calibration]",
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="With --distortion STORE: carry it over although dwell time or flyback differ.",
        ),
    ] = False,
    interpolation: Annotated[
        str,
        typer.Option(
            metavar="linear|cubic|lanczos",
            help="How corrected frames are interpolated; linear is best for noisy frames, and what "
            "filters are trained on.",
        ),
    ] = "linear",
    fov: Fovs = None,
    window: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="For dcfi: average each frame with those around it, N in all, an odd number. "
            "[default: all frames to one]",
        ),
    ] = None,
    weighted: Annotated[
        bool,
        typer.Option(
            "--weighted", help="For dcfi: frames with less noise or more contrast weigh more."
        ),
    ] = False,
    drift: Annotated[
        bool,
        typer.Option(
            "--drift",
            help="Undo the drift of the specimen as well: all frames of a series on the grid of "
            "its average. What moved out of view stays empty.",
        ),
    ] = False,
    scheduler: Annotated[
        str,
        typer.Option(
            metavar="local|slurm|kubernetes|ADDRESS",
            help="local, slurm, kubernetes, or the address of a running Dask scheduler.",
        ),
    ] = "local",
    cluster: ClusterFile = None,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="Local worker processes. [default: one a core]")
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            metavar="auto|cpu|cuda", help="Where local workers filter: cuda takes all GPUs."
        ),
    ] = "auto",
    retry_failed: Annotated[
        bool,
        typer.Option("--retry-failed", help="Try frames once more that an earlier run gave up."),
    ] = False,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow",
            help="Keep up with series that are still ingested, the newest frames first; until "
            "they are complete, or Ctrl-C.",
        ),
    ] = False,
    until_idle: UntilIdle = None,
    performance_report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html",
            help="Where to write Dask's account of tasks and workers, a page.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan, do nothing.")] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Filter every frame of STORE that is not filtered yet, on Dask.

    Frames are corrected for distortion where the FOV is calibrated, filtered, scored against the
    slow scan where there is one, and written block by block; the same command goes on after any
    interruption. Exit code 3 means that some frames failed.
    """
    from stemscale.clusters import check_place
    from stemscale.pipeline import plan_process
    from stemscale.pipeline import process as run
    from stemscale_cli.interrupt import stop_when_asked
    from stemscale_cli.output import print_json, talk
    from stemscale_cli.progress import bar, processing

    asked: dict[str, Any] = {
        "filter": filter,
        "name": name,
        "fovs": fov or [],
        "distortion": distortion,
        "force": force,
        "interpolation": interpolation,
        "window": window,
        "weighted": weighted,
        "drift": drift,
        "overwrite": overwrite,
        "retry_failed": retry_failed,
    }
    tls = tls_of(tls_ca, tls_cert, tls_key)
    if dry_run:
        if until_idle is not None and not follow:
            raise typer.BadParameter("--until-idle is for a series that grows: with --follow")
        check_place(scheduler, workers=workers, device=device, tls=tls, cluster_file=cluster)
        plan = plan_process(store, **asked, follow=follow)
        _show_plan(plan, _workers(scheduler, workers), as_json=as_json)
        return
    with (
        bar(processing, quiet=quiet or as_json, unit="frames") as listener,
        stop_when_asked() if follow else nullcontext() as stop,
    ):
        done = run(
            store,
            **asked,
            follow=follow,
            until_idle_s=until_idle,
            stop=stop,
            scheduler=scheduler,
            workers=workers,
            device=device,
            tls=tls,
            cluster_file=cluster,
            performance_report=performance_report,
            listener=listener,
        )
    if as_json:
        print_json(done)
    else:
        there = f", {done.frames_skipped} were there already" if done.frames_skipped else ""
        typer.echo(
            f"{done.store}: {done.frames} frames to filtered/{done.name} in {done.seconds:.1f} s "
            f"({done.frames_per_s:.1f} frames/s){there}"
        )
        if follow:
            typer.echo(keeping_up(done))
        say_corrections(done)
        say_what_is_outside(done)
        if done.masked:
            talk(f"{done.masked} pixels were not seen by the rapid scan, and are masked")
        if done.clipped:
            talk(f"{done.clipped} pixels were clipped to the range of the frames' dtype")
    say_failures(done)


def say_corrections(done: Any) -> None:
    """Say which distortions were carried over, and where the filter does not fit."""
    from stemscale_cli.output import talk

    for words in dict.fromkeys(done.transfers.values()):
        fovs = [name for name, said in done.transfers.items() if said == words]
        talk(f"{', '.join(fovs)}: distortion {words}")
    _warn(done.misfits)


def keeping_up(done: Any) -> str:
    """Say how a run kept up with series that grew."""
    from stemscale_cli.output import count

    if done.latency is None:
        return "no frame came meanwhile"
    parts = [f"{count(done.latency.frames, 'frame')} came meanwhile: {done.latency.words()}"]
    if not done.kept_up:
        parts.append(f"could not keep up at times: {done.most_behind} frames behind at most")
    return "; ".join(parts)


def say_failures(done: Any) -> None:
    """Say which frames could not be made, and end with code 3 if there are any."""
    from stemscale.store import listed_frames
    from stemscale_cli.output import talk

    for what, by_fov in (("failed", done.failed), ("have damaged raw data", done.damaged)):
        for one, frames in by_fov.items():
            why = f" ({done.reasons[one]})" if one in done.reasons else ""
            talk(f"{one}: {len(frames)} frames {what}: {listed_frames(frames)}{why}")
    if done.failed:
        talk("the same command with --retry-failed tries those frames once more")
    if done.damaged:
        talk("ingest the same files again to bring raw data back; then run the same command again")
    if done.failed or done.damaged:
        raise typer.Exit(3)


def _workers(scheduler: str, workers: int | None) -> tuple[int, int] | None:
    """Give local worker processes, and blocks in each at once; None where they are elsewhere."""
    from stemscale.clusters import local_workers

    return local_workers(workers) if scheduler == "local" else None


def _show_plan(plan: Any, workers: tuple[int, int] | None, *, as_json: bool) -> None:
    from stemscale_cli.output import count, print_json, size

    rows = [
        {
            "fov": s.fov,
            "frames": s.frames_todo,
            "blocks": len(s.todo),
            "frames_there_already": s.standing.done_frames,
            "frames_failed_before": s.frames_failed,
            "correction": s.correction,
            "filter_misfit": s.misfit,
        }
        for s in plan.series
    ]
    if as_json:
        totals = {
            "store": plan.store,
            "name": plan.name,
            "tasks": plan.tasks,
            "frames": plan.frames,
            "bytes_read": plan.bytes_read,
            "bytes_written": plan.bytes_written,
            "bytes_per_task": plan.bytes_per_task,
            "workers": None if workers is None else workers[0],
            "tasks_per_worker": None if workers is None else workers[1],
        }
        print_json({**totals, "fovs": rows})
        return
    typer.echo(f"{plan.store}: filter {plan.choice.label}, to filtered/{plan.name}")
    for row in rows:
        why = {"there already": row["frames_there_already"], "failed": row["frames_failed_before"]}
        skipped = "".join(f", {n} frames skipped ({word})" for word, n in why.items() if n)
        typer.echo(
            f"  {row['fov']}: {count(row['frames'], 'frame')} in {count(row['blocks'], 'block')}, "
            f"correction {row['correction']}{skipped}"
        )
    typer.echo(
        f"{count(plan.tasks, 'task')}, {count(plan.frames, 'frame')}; reads "
        f"{size(plan.bytes_read)}, writes {size(plan.bytes_written)} before compression; "
        f"about {size(plan.bytes_per_task)} a task"
    )
    if workers is not None:
        processes, each = workers
        typer.echo(
            f"{count(processes, 'worker')} on this machine, {each} tasks in each at once: about "
            f"{size(processes * each * plan.bytes_per_task)} beside the filter and Python itself"
        )
    _warn({s.fov: s.misfit for s in plan.series})


def _warn(misfits: Mapping[str, Sequence[str]]) -> None:
    """Say where series are unlike what the filter was trained for; FOVs alike, in one line."""
    from stemscale_cli.output import talk

    for sentence in dict.fromkeys(s for said in misfits.values() for s in said):
        fovs = [name for name, said in misfits.items() if sentence in said]
        talk(f"Warning: {', '.join(fovs)}: {sentence}")


def say_what_is_outside(done: Any) -> None:
    """Count the frames that the filter was not trained for, and say in which respects."""
    from stemscale_cli.output import talk

    for fov, flagged in done.out_of_range.items():
        talk(f"{fov}: {flagged.words()}")
    if done.out_of_range:
        talk("compare them with --filter dcfi, or train on fields of view of your own")
    elif done.learned and not done.judged:
        talk(
            "whether single frames lie outside what the filter was trained on is not known: its "
            "card does not say what they were like; train it again with this version"
        )
