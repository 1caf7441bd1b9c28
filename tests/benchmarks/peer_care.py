"""Train CAREamics' CARE on the data of `bench_filters.py`, and filter its test frames.

    python -m venv care && care/bin/pip install careamics
    care/bin/python tests/benchmarks/peer_care.py CACHE --minutes 4 --out care.npz

In an environment of its own, as it wants another torch, and torchvision; stemscale is not needed
there. `bench_filters.py --care care/bin/python` calls this. All is CAREamics' default (U-net of
depth 2 from 32 channels, MAE, Adam, scaled by mean and deviation) but for the augmentation,
which flips y alone: the smear has a direction. The last training FOV is held out for validation.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from careamics import CAREamist
from careamics.config import create_advanced_care_config

PATCH, BATCH = 64, 8


def filled(frames: np.ndarray) -> np.ndarray:
    """Put each frame's mean where it was not seen."""
    means = np.nanmean(frames, axis=(1, 2), keepdims=True)
    return np.where(np.isfinite(frames), frames, means).astype(np.float32)


def pairs(files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    frames, targets = [], []
    for file in files:
        with np.load(file) as fov:
            frames.append(filled(fov["frames"]))
            targets.append(np.broadcast_to(fov["slow"].astype(np.float32), frames[-1].shape))
    return np.concatenate(frames), np.concatenate(targets)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cache", type=Path)
    parser.add_argument("--training", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--scored", type=int, default=4, help="frames of each test FOV")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    files = sorted(options.cache.glob("[0-9][0-9].npz"))
    training, test = files[: options.training], files[options.training :]
    seconds = {"minutes": int(options.minutes), "seconds": round(options.minutes % 1 * 60)}
    with tempfile.TemporaryDirectory() as scratch:
        config = create_advanced_care_config(
            experiment_name="care",
            data_type="array",
            axes="SYX",
            patch_size=[PATCH, PATCH],
            batch_size=BATCH,
            num_epochs=10_000,
            augmentations=["y_flip"],
            num_workers=0,
            trainer_params={"max_time": seconds, "accelerator": "cpu"},
            seed=1,
        )
        care = CAREamist(config, work_dir=scratch, enable_progress_bar=False)
        began = time.perf_counter()
        frames, targets = pairs(training[:-1])
        val_frames, val_targets = pairs(training[-1:])
        care.train(
            train_data=frames,
            train_data_target=targets,
            val_data=val_frames,
            val_data_target=val_targets,
        )
        trained = time.perf_counter() - began
        outputs, filtering, count = {}, 0.0, 0
        for file in [*test, *sorted(options.cache.glob("moving*.npz"))]:
            with np.load(file) as fov:
                middle = len(fov["frames"]) // 2
                part = fov["frames"][middle - options.scored // 2 :][: options.scored]
            began = time.perf_counter()
            found, _ = care.predict(filled(part), axes="SYX")
            filtering += time.perf_counter() - began
            count += len(part)
            outputs[file.stem] = np.concatenate([np.asarray(f) for f in found]).reshape(part.shape)
        parameters = sum(p.numel() for p in care.model.parameters())
        steps = care.trainer.global_step
    about = {
        "parameters": parameters,
        "patches": steps * BATCH,
        "seconds": trained,
        "rate": count / filtering,
    }
    np.savez(options.out, about=json.dumps(about), **outputs)


if __name__ == "__main__":
    main()
