"""``stemscale calibrate``."""

import math
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
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Estimate the scan distortion of STORE against its slow scans.

    FOVs scanned with the same settings share one distortion, each with its own view offset; FOVs
    without a slow scan of their own get the shared one.
    """
    from stemscale.pipeline import calibrate as run
    from stemscale_cli.output import print_json
    from stemscale_cli.progress import bar, counted

    with bar(counted("calibrate"), quiet=quiet or as_json, unit="FOVs") as listener:
        done = run(store, fovs=fov or [], method=method, listener=listener)
    if as_json:
        print_json({"store": store, "method": method, "fovs": done})
        return
    for one in done:
        if not one.estimated:
            typer.echo(f"{one.fov}: distortion carried over ({one.span_px:.1f} px)")
            continue
        std = "" if math.isnan(one.source_x_std_px) else f" ± {one.source_x_std_px:.2f}"
        before = "" if math.isnan(one.zncc_before) else f"{one.zncc_before:.3f} -> "
        typer.echo(
            f"{one.fov}: distortion of {one.span_px:.1f}{std} px; "
            f"agreement with the slow scan (ZNCC) {before}{one.zncc_after:.3f}"
        )
