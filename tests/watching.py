"""Sources that grow, and watches of them in threads and processes; for the tests of `watch`."""

import struct
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import xarray as xr
from builders import write_stack

import stemscale
from stemscale.store import AcquisitionStore

MDOC = "PixelSpacing = 20\nVoltage = 300\n\n"


def mrc_header(shape, count, dtype="uint16", pixel_nm=2.0):
    n_y, n_x = shape
    mode = {"uint8": 0, "int16": 1, "float32": 2, "uint16": 6}[dtype]
    size = (n_x * pixel_nm * 10, n_y * pixel_nm * 10, count * pixel_nm * 10)
    head = struct.pack("<10I3f", n_x, n_y, count, mode, 0, 0, 0, n_x, n_y, count, *size)
    return head.ljust(1024, b"\0")


def mrc_bytes(frames, count=None):
    count = len(frames) if count is None else count
    return mrc_header(frames.shape[1:], count, frames.dtype.name) + frames.tobytes()


def mdoc_text(n, exposure_s=0.02):
    sections = (
        f"[ZValue = {i}]\nTiltAngle = {i / 10}\nExposureTime = {exposure_s}\nChannelName = BF\n\n"
        for i in range(n)
    )
    return MDOC + "".join(sections)


def append(path, content):
    with path.open("ab") as stream:
        stream.write(content)


def tiff_bytes(folder, frame, **info):
    path = write_stack(folder / "one.tif", frame[None], **info)
    content = path.read_bytes()
    path.unlink()
    return content


class Watching:
    """A watch in a thread; leaving it waits for its end, or raises its error."""

    def __init__(self, store, source, **options):
        self.store, self.stop, self.events = store, threading.Event(), []
        self._found = []
        options = {"poll_s": 0.01, "stop": self.stop, "listener": self.events.append, **options}

        def run():
            try:
                self._found.append(stemscale.watch(store, source, **options))
            except BaseException as error:
                self._found.append(error)

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.stop.set()
            self._thread.join(20)

    def end(self):
        self.stop.set()
        return self.result()

    def result(self):
        self._thread.join(30)
        assert not self._thread.is_alive(), "the watch does not end"
        (found,) = self._found
        if isinstance(found, BaseException):
            raise found
        return found

    @property
    def notices(self):
        return [e.text for e in self.events if hasattr(e, "text")]

    def wait_for(self, n, fov="a"):
        until(lambda: self._found or recorded(self.store, fov) >= n)


def until(true, within_s=20.0):
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, "nothing came of it"
        time.sleep(0.005)


def recorded(store, fov="a"):
    """Count the frames that a reader of the records takes as there."""
    try:
        records = AcquisitionStore(store).ledger(f"{fov}/rapid").records()
    except stemscale.errors.StemscaleError:
        return 0
    return sum(r.stop - r.start for r in records.values())


def opened(store, fov="a", *, consolidated=True):
    with xr.open_zarr(store, group=f"{fov}/rapid", consolidated=consolidated) as found:
        return found.load()


def content(store, fov="a"):
    """All that a series is: shards byte by byte, values, attributes."""
    root = Path(store) / fov
    return {
        f.relative_to(root).as_posix(): f.read_bytes()
        for f in root.rglob("*")
        if f.is_file() and f.name != "zarr.json"
    }


def assert_as_ingested_at_once(store, at_once, fov="a"):
    """Compare with a store that was made by one ingest of the same files in the same blocks."""
    watched, wanted = opened(store, fov), opened(at_once, fov)
    xr.testing.assert_identical(watched, wanted)
    assert content(store, fov) == content(at_once, fov)
    assert stemscale.verify(store).damage == []


@contextmanager
def watch_process(store, source, *options):
    """Run `stemscale ingest --watch` in a process of its own."""
    command = [sys.executable, "-m", "stemscale_cli.app", "ingest", "--watch", store, source]
    command += [*options, "--quiet"]
    process = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
