"""``stemscale simulate``."""

from pathlib import Path
from typing import Annotated

import typer

from stemscale_cli.options import Json, Overwrite, Quiet


def simulate(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where the files go.", show_default=False)
    ],
    fovs: Annotated[
        int | None, typer.Option(metavar="N", help="Fields of view. [default: 8; in situ 1]")
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(metavar="N", help="Rapid frames of each. [default: 20; in situ 200]"),
    ] = None,
    size: Annotated[int, typer.Option(metavar="N", help="Pixels along x and along y.")] = 512,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the specimen and the noise.")] = 0,
    scan_seed: Annotated[
        int, typer.Option(metavar="N", help="Of the microscope: distortion, response.")
    ] = 0,
    in_situ: Annotated[
        bool, typer.Option("--in-situ", help="Heat the specimen; the slow scan comes after.")
    ] = False,
    heat: Annotated[
        str | None,
        typer.Option(
            metavar="FROM:TO",
            help="With --in-situ: temperature at the first frame, and the one that is held [°C]. "
            "[default: 90:150]",
            show_default=False,
        ),
    ] = None,
    ramp: Annotated[
        float | None,
        typer.Option(
            metavar="R",
            help="With --in-situ: heating rate [°C/s]. [default: 1]",
            show_default=False,
        ),
    ] = None,
    preset: Annotated[
        str, typer.Option(metavar="NAME", help="reference, or replica (a real 500 ns/px scan).")
    ] = "reference",
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EFFECT",
            help="Leave an effect out; may be repeated. An unknown one lists them.",
        ),
    ] = None,
    replay_fps: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            help="Write the rapid frames at N frames/s, as a microscope's software would, once "
            "they are simulated, which takes longer.",
        ),
    ] = None,
    replay_as: Annotated[
        str | None,
        typer.Option(
            metavar="files|mrc",
            help="With --replay-fps, files: a TIFF file a frame, in fov01_rapid; mrc: one "
            "fov01_rapid.mrc that grows. [default: files]",
            show_default=False,
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Simulate rapid scans of dislocations as files a microscope leaves, with the truth beside.

    FOLDER gets 16-bit TIFF stacks, one slow scan a FOV, fovs.csv (the manifest to ingest), and
    truth.zarr: noise-free images and the true distortion.
    """
    from stemscale.simulation import FrameReplayed, FrameSimulated, Replay, preset_settings
    from stemscale.simulation import simulate as run
    from stemscale_cli.output import print_json, talk
    from stemscale_cli.progress import bar, simulating

    if replay_as is not None and replay_fps is None:
        raise typer.BadParameter("--replay-as needs --replay-fps")
    if (heat is not None or ramp is not None) and not in_situ:
        raise typer.BadParameter("--heat and --ramp need --in-situ")
    late = replayed = 0

    def count(event: FrameSimulated | FrameReplayed) -> None:
        nonlocal late, replayed
        if isinstance(event, FrameReplayed):
            replayed += 1
            late += event.late

    replay = None if replay_fps is None else Replay(fps=replay_fps, kind=replay_as or "files")
    settings = preset_settings(preset).without(*(without or []))
    start, end = (None, None) if heat is None else _range(heat)
    settings = settings.heated(start_degc=start, end_degc=end, ramp_degc_per_s=ramp)
    with bar(simulating, quiet=quiet or as_json, unit="frames") as listener:
        manifest = run(
            folder,
            fovs=fovs,
            frames=frames,
            size=size,
            seed=seed,
            scan_seed=scan_seed,
            in_situ=in_situ,
            preset=preset,
            settings=settings,
            replay=replay,
            overwrite=overwrite,
            listeners=[listener, count],
        )
    result: dict[str, object] = {"manifest": manifest, "truth": folder / "truth.zarr"}
    if replay is not None:
        result |= {"replayed": replayed, "late": late}
        slow = ": the disk or this machine does not keep up with that" if late else ""
        talk(f"{replayed} frames replayed at {replay.fps:g} frames/s, {late} of them late{slow}")
    if as_json:
        print_json(result)
        return
    typer.echo(f"{manifest}: ingest it with --manifest; the truth is {folder / 'truth.zarr'}")


def _range(text: str) -> tuple[float, float]:
    try:
        start, end = (float(part) for part in text.split(":"))
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is no range of temperatures: give FROM:TO in °C, as 90:150",
            param_hint="--heat",
        ) from error
    return start, end
