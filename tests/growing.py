"""A store that grows as under `stemscale ingest --watch`, without files."""

import time

import numpy as np

from stemscale.acquisition import ScanSettings
from stemscale.store import (
    AcquisitionStore,
    GrowingFrames,
    NewBlock,
    check_epoch,
    create_growing,
    finish_frames,
    hold_lease,
    rapid_group,
)

BLOCK = 4


class Grower:
    """Adds frames of one FOV; its last block may be short, and is written anew."""

    def __init__(self, path, shape=(24, 32), *, fov="fov01", block=BLOCK, dtype="uint16"):
        self.store = AcquisitionStore.create(path)
        self.fov, self.group, self.block = fov, rapid_group(fov), block
        self.dtype = np.dtype(dtype)
        self.settings = ScanSettings(
            n_y=shape[0], n_x=shape[1], pixel_size_nm=2.0, dwell_time_ns=100, flyback_time_us=25
        )
        self.n_frames = 0
        self.short = (
            np.empty((0, *shape), self.dtype),
            [],
        )

    def __enter__(self):
        ledger = self.store.ledger(self.group)
        self._lease = hold_lease(ledger.lease_file, what=self.group)
        epoch = self._lease.__enter__()
        create_growing(
            self.store,
            self.fov,
            self.group,
            self.settings,
            {"state": "partial"},
            dtype=self.dtype,
            long_name="rapid frames as recorded",
            block=self.block,
        )
        ledger.start({"files": []})
        self.growing = GrowingFrames(
            self.store,
            self.group,
            self.settings,
            still_mine=lambda: check_epoch(ledger.lease_file, epoch, what=self.group),
        )
        return self

    def __exit__(self, *_):
        self._lease.__exit__(None, None, None)

    def add(self, frames, arrived_ns=None):
        """Commit frames; they may be fewer than a block."""
        frames = np.concatenate([self.short[0], frames.astype(self.dtype)])
        arrived = [*self.short[1], *(arrived_ns or [time.time_ns()] * len(frames))][: len(frames)]
        at = self.n_frames - len(self.short[0])
        blocks = [
            NewBlock(
                index=(at + i) // self.block,
                frames=frames[i : i + self.block],
                again=at + i < self.n_frames,
                arrived_ns=arrived[i : i + self.block],
            )
            for i in range(0, len(frames), self.block)
        ]
        self.growing.add(blocks)
        self.n_frames = at + len(frames)
        rest = len(frames) - self.n_frames % self.block
        self.short = frames[rest:], arrived[rest:]

    def finish(self):
        """Say that the series is complete."""
        records = self.store.ledger(self.group).records()
        finish_frames(self.store, self.group, records, with_status=False)
        self.store.set_attrs(self.group, {"content_hash": "of a growing series"})
        self.store.consolidate()


def paced(grower, frames, *, per_s, batch=BLOCK, stop=None):
    """Add frames as a microscope does, some at a time; a frame is there once it is scanned."""
    began = time.perf_counter()
    for start in range(0, len(frames), batch):
        some = frames[start : start + batch]
        time.sleep(max(0.0, began + (start + len(some)) / per_s - time.perf_counter()))
        if stop is not None and stop.is_set():
            break
        now, step = time.time_ns(), int(1e9 / per_s)
        grower.add(some, [now - step * (len(some) - 1 - i) for i in range(len(some))])
