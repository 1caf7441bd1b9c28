"""``stemscale info``."""

from typing import Any

import typer

from stemscale_cli.options import Json, Store


def info(store: Store, as_json: Json = False) -> None:
    """Show what is in STORE: FOVs, frames, scan settings, calibrations, filters, history."""
    from stemscale.pipeline import info as run
    from stemscale_cli.output import plain, print_json, size

    found = run(store)
    if as_json:
        print_json(found)
        return
    typer.echo(f"{found['store']}: {len(found['fovs'])} FOVs, {size(found['bytes_on_disk'])}")
    for name, fov in found["fovs"].items():
        typer.echo(plain(f"{name}: {_fov(fov)}"))
        for label, filtered in fov["filtered"].items():
            state = "" if filtered["state"] == "complete" else f" ({filtered['state']})"
            typer.echo("  " + plain(f"filtered/{label}: {filtered['frames']} frames{state}"))
    for line in found["history"]:
        typer.echo(plain(line))


def _fov(fov: dict[str, Any]) -> str:
    scan = fov["scan_settings"]
    parts = [f"{fov['frames']} frames of {fov['shape'][0]} x {fov['shape'][1]} {fov['dtype']}"]
    parts += [f"{scan[k]:g} {unit}" for k, unit in _SHOWN if k in scan]
    parts += [f"{n} {p['min']:g}...{p['max']:g} {p['units']}" for n, p in fov["per_frame"].items()]
    if fov["slow"]:
        parts.append("slow scan" + (" after" if fov["slow"]["relation"] == "after" else ""))
    if fov["calibration"]:
        parts.append(f"calibrated by {fov['calibration']['method']}")
    if fov["use"]:
        parts.append(f"use {fov['use']}")
    return ", ".join(parts)


_SHOWN = (("pixel_size_nm", "nm/px"), ("dwell_time_ns", "ns/px"))
