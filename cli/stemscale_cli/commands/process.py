"""``stemscale process``."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from stemscale_cli.options import (
    ClusterFile,
    Dtype,
    Force,
    Fovs,
    Json,
    OutputName,
    Overwrite,
    Quiet,
    Store,
    TlsCa,
    TlsCert,
    TlsKey,
    UntilIdle,
    Workers,
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
    name: OutputName = None,
    distortion: Annotated[
        str | None,
        typer.Option(
            metavar="STORE|none",
            help="A store whose distortion is carried over, or none. "
            "[default: each FOV's own calibration]",
        ),
    ] = None,
    force: Force = False,
    interpolation: Annotated[
        str,
        typer.Option(
            metavar="linear|cubic|lanczos",
            help="How corrected frames are interpolated; linear is best for noisy frames, and what "
            "filters are trained on.",
        ),
    ] = "linear",
    dtype: Dtype = None,
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
    workers: Workers = None,
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
    from stemscale_cli.run_page import (
        keeping_up,
        say_corrections,
        say_failures,
        say_what_is_outside,
        show_plan,
    )

    asked: dict[str, Any] = {
        "filter": filter,
        "name": name,
        "fovs": fov or [],
        "distortion": distortion,
        "force": force,
        "interpolation": interpolation,
        "dtype": dtype,
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
        show_plan(plan, _workers(scheduler, workers), as_json=as_json)
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


def _workers(scheduler: str, workers: int | None) -> tuple[int, int] | None:
    """Give local worker processes, and blocks in each at once; None where they are elsewhere."""
    from stemscale.clusters import local_workers

    return local_workers(workers) if scheduler == "local" else None
