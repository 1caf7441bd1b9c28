"""``stemscale calibrate``."""

import math
from pathlib import Path
from typing import Annotated

import typer

from stemscale_cli.options import Fovs, Json, Quiet, Store


def calibrate(
    store: Store,
    fov: Fovs = None,
    method: Annotated[
        str,
        typer.Option(
            metavar="spline|strips",
            help="spline: a smooth map, all FOVs at once; strips: as in the paper.",
        ),
    ] = "spline",
    vary_y: Annotated[
        bool,
        typer.Option(
            "--vary-y",
            help="Let the map shift slowly from the top of a frame to its bottom. Costs some "
            "precision where it does not.",
        ),
    ] = False,
    max_uncertainty: Annotated[
        float,
        typer.Option(
            metavar="PX",
            min=0.001,
            help="Uncertainty of a map that is accepted, root mean square [px]. Where FOVs are "
            "fitted together, one of them must be that certain; the others are warned of.",
        ),
    ] = 0.4,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw the map, and the images before and after. FILE.png, FILE.svg: the FOV that "
            "agrees best with its slow scan; FILE.pdf: a page for each FOV.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Processes that align frames. [default: one a core, for 1024 frames or more]",
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Estimate the scan distortion of STORE against its slow scans.

    FOVs scanned with the same settings share one distortion, each with its own view offset; FOVs
    without a slow scan of their own get the shared one.
    """
    from stemscale.distortion import SplineFit
    from stemscale.pipeline import calibrate as run
    from stemscale_cli.output import print_json, talk
    from stemscale_cli.progress import bar, calibrating

    if plot is not None:
        from stemscale.reports import check_plot, plot_corrections

        check_plot(store, plot)
    with bar(calibrating, quiet=quiet or as_json, unit="frames") as listener:
        fit = SplineFit(vary_y=vary_y, max_std_px=max_uncertainty)
        done = run(
            store, fovs=fov or [], method=method, fit=fit, workers=workers, listener=listener
        )
    if plot is not None:
        plot_corrections(store, plot, fovs=[one.fov for one in done])
    for one in done:
        if one.left_out is not None:
            talk(f"Warning: left out {one.left_out}")
        elif one.estimated and one.source_x_std_px > max_uncertainty:
            talk(
                f"Warning: {one.fov}: its map is uncertain by {one.source_x_std_px:.2f} px "
                f"(allowed: {max_uncertainty:g}): it shows too little to tell its own offset"
            )
    if as_json:
        drawn = {} if plot is None else {"plot": plot}
        print_json({"store": store, "method": method, "fovs": done, **drawn})
        return
    for one in done:
        if not one.estimated:
            after = "" if math.isnan(one.zncc_after) else f"; ZNCC {one.zncc_after:.3f}"
            typer.echo(f"{one.fov}: distortion carried over ({one.span_px:.1f} px){after}")
            continue
        std = "" if math.isnan(one.source_x_std_px) else f" ± {one.source_x_std_px:.2f}"
        before = "" if math.isnan(one.zncc_before) else f"{one.zncc_before:.3f} -> "
        typer.echo(
            f"{one.fov}: distortion of {one.span_px:.1f}{std} px; "
            f"agreement with the slow scan (ZNCC) {before}{one.zncc_after:.3f}"
        )
    if plot is not None:
        typer.echo(str(plot))
