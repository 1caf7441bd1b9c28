"""``stemscale ingest``."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import typer

from stemscale_cli.options import Json, Quiet, Store, rapid_settings

if TYPE_CHECKING:
    from stemscale.ingestion import IngestedFov, LogReport


class Common(TypedDict):
    """Options that an ingest and a watch both have."""

    slow: Path | None
    fov: str | None
    frame_metadata: Path | None
    use: str | None
    log: Path | None
    log_offset_s: float
    log_how: str
    detector: str | None
    rapid_settings: Mapping[str, Any]
    slow_settings: Mapping[str, Any]


def ingest(
    store: Store,
    rapid: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RAPID",
            help="Files of the rapid frames, or folders of files; several make one series.",
            show_default=False,
        ),
    ] = None,
    slow: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File of the slow scan of that FOV.")
    ] = None,
    slow_is: Annotated[
        str | None,
        typer.Option(
            metavar="same|after",
            help="same: of the still FOV; after: taken after an in-situ series. [default: same; "
            "with --watch after]",
        ),
    ] = None,
    fov: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of the FOV. [default: from the name of the file]"),
    ] = None,
    frame_metadata: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV", help="CSV with a row for each frame: frame, time_s, temperature_C, ..."
        ),
    ] = None,
    use: Annotated[
        str | None, typer.Option(metavar="train|test", help="What the FOV is for.")
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="CSV that lists FOVs instead: fov,rapid,slow[,slow_is][,frame_metadata][,use].",
        ),
    ] = None,
    append: Annotated[
        bool,
        typer.Option(
            "--append",
            help="Add frames to the FOV: of a file that has grown, or of files that continue it.",
        ),
    ] = False,
    log: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Log of a heating holder, joined by time: DENSsolutions .dens, Protochips .csv, "
            "or a CSV with a column time_s.",
        ),
    ] = None,
    log_offset: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="From the first sample of the log to the first frame [s]; positive where the "
            "log began first.",
        ),
    ] = 0.0,
    log_join: Annotated[
        str,
        typer.Option(
            metavar="linear|nearest",
            help="linear: between the samples around a frame; nearest: of the nearest sample.",
        ),
    ] = "linear",
    detector: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|all",
            help="Which signal, where a file holds several; all: a FOV of each.",
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Processes that read and write at a time: for long series."
        ),
    ] = 1,
    block: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Frames in a block: in one shard of the store, and one task. [default: what makes "
            "32 MiB; with --watch 4]",
        ),
    ] = None,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Take frames while they are written: RAPID is a growing .mrc or .npy file, a "
            "folder that gets files, or a file that is being written. Ctrl-C ends it.",
        ),
    ] = False,
    until_idle: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", min=0.0, help="With --watch: end when nothing new came for so long."
        ),
    ] = None,
    pixel_size: Annotated[
        float | None,
        typer.Option(metavar="NM", help="Pixel size of the rapid frames [nm], if the file errs."),
    ] = None,
    dwell_time: Annotated[
        float | None,
        typer.Option(metavar="NS", help="Dwell time of the rapid frames [ns], if the file errs."),
    ] = None,
    flyback: Annotated[
        float | None,
        typer.Option(metavar="US", help="Flyback time of a line [us], if the file errs."),
    ] = None,
    slow_pixel_size: Annotated[
        float | None,
        typer.Option(metavar="NM", help="Pixel size of the slow scan [nm], if the file errs."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Add a field of view (a series of rapid frames) to STORE, making it if needed.

    Reads Velox EMD with the metadata of every frame; DM3/DM4, TIA SER/EMI, MRC with .mdoc, TIFF
    (ImageJ, OME), HSPY, ZSPY, NeXus, Berkeley EMD, PNG and JPEG through RosettaSciIO; Nion Swift
    exports, NPY and Zarr arrays; folders of such files, Gatan's in-situ trees among them.

    Killed, it goes on where it was when run again, and writes again what was damaged since. If any
    input is bad, the store stays as it was.

    With --watch, only whole frames and files are taken; the slow scan and tables are added at the
    end. The same command goes on where it was, also after it was killed.
    """
    from stemscale.ingestion import ingest as run
    from stemscale_cli.output import print_json, talk
    from stemscale_cli.progress import bar, ingesting

    common: Common = {
        "slow": slow,
        "fov": fov,
        "frame_metadata": frame_metadata,
        "use": use,
        "log": log,
        "log_offset_s": log_offset,
        "log_how": log_join,
        "detector": detector,
        "rapid_settings": rapid_settings(pixel_size, dwell_time, flyback),
        "slow_settings": {"pixel_size_nm": slow_pixel_size},
    }
    if watch:
        _refuse_with_watch(manifest=manifest, append=append, workers=workers > 1)
        if len(rapid or []) != 1:
            raise typer.BadParameter("--watch takes one file or folder", param_hint="RAPID")
        done = [
            _watch(
                store,
                (rapid or [])[0],
                common,
                slow_is=slow_is or "after",
                block=block or 4,
                until_idle=until_idle,
                quiet=quiet or as_json,
            )
        ]
        if as_json:
            print_json({"store": store, "fovs": done})
        else:
            _print(done)
        return
    if until_idle is not None:
        raise typer.BadParameter("it needs --watch", param_hint="--until-idle")
    with bar(ingesting, quiet=quiet or as_json, unit="frames") as listener:
        done = run(
            store,
            rapid or [],
            slow_is=slow_is or "same",
            manifest=manifest,
            append=append,
            workers=workers,
            block=block,
            listener=listener,
            **common,
        )
    for line in _left_out_words(done):
        talk(line)
    if as_json:
        print_json({"store": store, "fovs": done})
        return
    _print(done)


def _refuse_with_watch(**given: object) -> None:
    for name, value in given.items():
        if value:
            raise typer.BadParameter("it does not go with --watch", param_hint=f"--{name}")


def _watch(
    store: str,
    source: Path,
    common: "Common",
    *,
    slow_is: str,
    block: int,
    until_idle: float | None,
    quiet: bool,
) -> "IngestedFov":
    from stemscale.ingestion import watch as run
    from stemscale_cli.interrupt import stop_when_asked
    from stemscale_cli.progress import bar, watching

    with stop_when_asked() as stop, bar(watching, quiet=quiet, unit="frames") as listener:
        return run(
            store,
            source,
            slow_is=slow_is,
            block=block,
            until_idle_s=until_idle,
            stop=stop,
            listener=listener,
            **common,
        )


def _print(done: "list[IngestedFov]") -> None:
    from stemscale_cli.output import plain

    for one in done:
        typer.echo(plain(f"{one.fov}: {_words(one)}"))
        if one.log is not None:
            typer.echo(plain(f"  {_log_words(one.log)}"))


def _words(one: "IngestedFov") -> str:
    what = f"{one.n_frames} frames of {one.shape[0]} x {one.shape[1]} {one.dtype}"
    what += ", slow scan" if one.slow else ""
    if one.not_taken:
        n = len(one.not_taken)
        what += f", {n} file{'s' if n > 1 else ''} left out ({', '.join(sorted(one.not_taken)[:3])}"
        what += ", ...)" if n > 3 else ")"
    if not one.n_frames:
        return "no frames came"
    if one.skipped:
        return f"{what} (there already: the same files)"
    if one.mended:
        return f"{what} (there already; {one.mended} that were damaged are written again)"
    return f"{what} ({one.appended} of them new)" if one.appended else what


def _left_out_words(done: "list[IngestedFov]") -> list[str]:
    """Name the files that hold more than series of real images, those that are alike together."""
    files: dict[str, dict[str, None]] = {}
    for one in done:
        for file, signals in one.left_out.items():
            what = ", ".join(f"{name} ({reason})" for name, reason in signals.items())
            files.setdefault(what, {})[file] = None
    return [
        f"{next(iter(f))}{f' and {len(f) - 1} more' if len(f) > 1 else ''}: left out {what}"
        for what, f in files.items()
    ]


def _log_words(log: "LogReport") -> str:
    outside = f", {log.outside} frames lie outside the log" if log.outside else ""
    return (
        f"{log.file}: {', '.join(log.columns)} joined by time, largest gap bridged "
        f"{log.largest_gap_s:.3g} s{outside}"
    )
