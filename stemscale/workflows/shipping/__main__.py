"""Make the filters that come with the package.

    python -m stemscale.workflows.shipping FOLDER [--only live] [--install]

FOLDER keeps the simulated fields of view and the checkpoints: killed, the same command goes on
where it was, to the very filter that an undisturbed one makes. Takes some hours on two cores.
"""

import argparse
from pathlib import Path

from rich.progress import Progress

from stemscale.denoising import TrainingProgress, load_filter
from stemscale.shipped import SHIPPED, find_filter
from stemscale.workflows.shipping.data import make_data
from stemscale.workflows.shipping.filters import make_filter
from stemscale.workflows.shipping.fovs import SIZE, read_scenes, scenes_hash

SEED = 2022
TEACHERS = {"live": "standard"}


def main() -> None:
    """Read the options, make the FOVs, train."""
    parser = argparse.ArgumentParser(
        prog="python -m stemscale.workflows.shipping", description=__doc__.splitlines()[0]
    )
    parser.add_argument("folder", type=Path, help="keeps what is made")
    parser.add_argument("--only", nargs="+", choices=list(SHIPPED), default=list(SHIPPED))
    parser.add_argument("--fovs", type=int, default=3000, help="simulated ones, of 256 x 256 px")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--threads", type=int, default=1, help="of torch; they change the weights")
    parser.add_argument("--install", action="store_true", help="put the filters into the package")
    options = parser.parse_args()
    scenes = read_scenes()
    about = {
        "seed": options.seed,
        "fovs": options.fovs,
        "size_px": SIZE,
        "pictures": len(scenes),
        "pictures_sha256": scenes_hash(scenes),
    }
    with Progress() as progress:
        bar = progress.add_task("simulate", total=options.fovs)
        data = make_data(
            options.folder / "fovs",
            seed=options.seed,
            fovs=options.fovs,
            scenes=scenes,
            tell=lambda done: progress.update(bar, completed=done),
        )
        for preset in options.only:
            bar = progress.add_task(preset, total=1.0)

            def tell(event: TrainingProgress, bar: object = bar, preset: str = preset) -> None:
                psnr = event.validation_psnr
                words = preset if psnr is None else f"{preset} {psnr:.2f} dB"
                progress.update(bar, completed=event.share, description=words)  # type: ignore[arg-type]

            file = options.folder / f"{preset}.safetensors"
            teacher = (
                options.folder / f"{TEACHERS[preset]}.safetensors" if preset in TEACHERS else None
            )
            if teacher is not None and not teacher.is_file():
                teacher = find_filter(teacher.stem)
            if not file.is_file():
                make_filter(
                    data,
                    preset,
                    file,
                    seed=options.seed,
                    epochs=options.epochs,
                    threads=options.threads,
                    about=about,
                    teacher=teacher,
                    listener=tell,
                )
    for preset in options.only:
        file = options.folder / f"{preset}.safetensors"
        scores = load_filter(file).card["scores"]
        print(
            f"{file}: held out {scores['validation_psnr_db']:.2f} dB, "
            f"rapid frames {scores['validation_psnr_rapid_db']:.2f} dB"
        )
        if options.install:
            find_filter(preset, must_be=False).write_bytes(file.read_bytes())


if __name__ == "__main__":
    main()
