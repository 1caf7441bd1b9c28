"""A store that grows as under `stemscale ingest --watch`, without a microscope."""

import time
from dataclasses import replace

import numpy as np
import xarray as xr

from stemscale.acquisition import ScanSettings, frame_coordinates
from stemscale.store import (
    AcquisitionStore,
    check_epoch,
    commit_block,
    finish_frames,
    hold_lease,
    lengthen,
    make_growable,
    rapid_group,
)

BLOCK = 4


class Grower:
    """Writes frames of one FOV block by block; its last block may be short, and is written anew."""

    def __init__(self, path, shape=(24, 32), *, fov="fov01", block=BLOCK, dtype="uint16"):
        self.store = AcquisitionStore.create(path)
        self.fov, self.group, self.block = fov, rapid_group(fov), block
        self.dtype = np.dtype(dtype)
        self.settings = ScanSettings(
            n_y=shape[0], n_x=shape[1], pixel_size_nm=2.0, dwell_time_ns=100, flyback_time_us=25
        )
        self.written = 0
        self.last = np.empty((0, *shape), self.dtype)  # frames of the last block, if it is short
        self.arrived = []
        self._lease = None

    def __enter__(self):
        ledger = self.store.ledger(self.group)
        self._lease = hold_lease(ledger.lease_file, what=self.group)
        self.epoch = self._lease.__enter__()
        if not self.store.has(f"{self.group}/frames"):
            self.store.create_frames(
                self.fov,
                self.group,
                xr.Dataset(coords=self._columns(0), attrs={"state": "partial"}),
                self.settings,
                n_frames=0,
                dtype=self.dtype,
                with_fill=False,
                long_name="rapid frames as recorded",
                block=self.block,
            )
            make_growable(self.store, self.group, self._columns(0))
            ledger.start({"files": [], "n_frames": 0})
            self.store.consolidate()
        return self

    def __exit__(self, *error):
        self._lease.__exit__(None, None, None)

    def _columns(self, n):
        return frame_coordinates(self.settings, {}, n)

    def add(self, frames, arrived_ns=None):
        """Commit frames; they may be fewer than a block."""
        arrived = arrived_ns or [time.time_ns()] * len(frames)
        at = self.written - len(self.last)
        frames = np.concatenate([self.last, frames])
        arrived = [*self.arrived, *arrived]
        self.written = at + len(frames)
        along = {n: c[1] for n, c in self._columns(self.written).items() if c[0] == "frame"}
        lengthen(self.store, self.group, self.written, along, since=at)
        array, ledger = self.store.frames(self.group), self.store.ledger(self.group)
        for start in range(at, self.written, self.block):
            mine = slice(start - at, start - at + self.block)
            commit_block(
                array,
                ledger,
                start // self.block,
                frames[mine].astype(self.dtype),
                still_mine=lambda: check_epoch(ledger.lease_file, self.epoch, what=self.group),
                arrived_ns=arrived[mine],
            )
        short = self.written % self.block
        self.last, self.arrived = frames[len(frames) - short :], arrived[len(arrived) - short :]

    def finish(self):
        """Say that the series is complete."""
        columns = xr.Dataset(coords=self._columns(self.written))
        self.store.write_dataset(self.group, columns[[n for n in columns.coords if n == "frame"]])
        finish_frames(
            self.store, self.group, self.store.ledger(self.group).records(), with_status=False
        )
        self.store.set_attrs(self.group, {"content_hash": "of a growing series"})
        self.store.consolidate()


def paced(grower, frames, *, per_s, batch=BLOCK, stop=None):
    """Add frames as a microscope does, some at a time; give how late the last ones were [s]."""
    began = time.perf_counter()
    late = 0.0
    for start in range(0, len(frames), batch):
        some = frames[start : start + batch]
        # a frame is there once its last line is scanned
        due = began + (start + len(some)) / per_s
        time.sleep(max(0.0, due - time.perf_counter()))
        late = time.perf_counter() - due
        if stop is not None and stop.is_set():
            break
        now, step = time.time_ns(), int(1e9 / per_s)
        grower.add(some, [now - step * (len(some) - 1 - i) for i in range(len(some))])
    return late


__all__ = ["BLOCK", "Grower", "paced", "replace"]
