"""``stemscale ingest``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stemscale_cli.options import Json, Quiet, Store

if TYPE_CHECKING:
    from stemscale.ingestion import IngestedFov, LogReport


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
        str,
        typer.Option(
            metavar="same|after",
            help="same: of the still FOV; after: taken after an in-situ series.",
        ),
    ] = "same",
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
    """
    from stemscale.ingestion import ingest as run
    from stemscale_cli.output import plain, print_json, talk
    from stemscale_cli.progress import bar, ingesting

    rapid_settings = {
        "pixel_size_nm": pixel_size,
        "dwell_time_ns": dwell_time,
        "flyback_time_us": flyback,
    }
    with bar(ingesting, quiet=quiet or as_json, unit="frames") as listener:
        done = run(
            store,
            rapid or [],
            slow=slow,
            slow_is=slow_is,
            fov=fov,
            frame_metadata=frame_metadata,
            use=use,
            manifest=manifest,
            append=append,
            log=log,
            log_offset_s=log_offset,
            log_how=log_join,
            detector=detector,
            workers=workers,
            rapid_settings=rapid_settings,
            slow_settings={"pixel_size_nm": slow_pixel_size},
            listener=listener,
        )
    for line in _left_out_words(done):
        talk(line)
    if as_json:
        print_json({"store": store, "fovs": done})
        return
    for one in done:
        typer.echo(plain(f"{one.fov}: {_words(one)}"))
        if one.log is not None:
            typer.echo(plain(f"  {_log_words(one.log)}"))


def _words(one: "IngestedFov") -> str:
    what = f"{one.n_frames} frames of {one.shape[0]} x {one.shape[1]} {one.dtype}"
    what += ", slow scan" if one.slow else ""
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
