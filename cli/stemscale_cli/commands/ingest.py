"""``stemscale ingest``."""

from pathlib import Path
from typing import Annotated

import typer

from stemscale_cli.options import Json, Quiet, Store


def ingest(
    store: Store,
    rapid: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RAPID",
            help="Files of the rapid frames; several make one series.",
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
    detector: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which signal, where a file holds several.")
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

    Reads Velox EMD, DM3/DM4, TIA SER/EMI, MRC with .mdoc, TIFF stacks, HSPY and PNG through
    RosettaSciIO. Per-frame metadata come from the CSV and from .mdoc files; those inside Velox
    files are not read yet. If any input is bad, the store stays as it was.
    """
    from stemscale.ingestion import ingest as run
    from stemscale_cli.output import print_json
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
            detector=detector,
            rapid_settings=rapid_settings,
            slow_settings={"pixel_size_nm": slow_pixel_size},
            listener=listener,
        )
    if as_json:
        print_json({"store": store, "fovs": done})
        return
    for one in done:
        what = f"{one.n_frames} frames of {one.shape[0]} x {one.shape[1]} {one.dtype}"
        slow_word = ", slow scan" if one.slow else ""
        skipped = " (there already: the same files)" if one.skipped else ""
        typer.echo(f"{one.fov}: {what}{slow_word}{skipped}")
