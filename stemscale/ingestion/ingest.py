"""Microscope files into a store: all or nothing, whole blocks, recorded one by one."""

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from stemscale.acquisition import check_pixels, frame_coordinates, image_coordinates
from stemscale.errors import SettingsError, StemscaleError, StoreConflictError
from stemscale.ingestion.manifest import ManifestRow, read_manifest
from stemscale.ingestion.plan import FovPlan, SlowScan, fov_name, plan_fov
from stemscale.store import (
    AcquisitionStore,
    FramesArray,
    block_checksums,
    checksum,
    commit_block,
    finish_frames,
    frames_per_block,
    hold_lease,
    is_on_disk,
    multiscales,
    rapid_group,
    slow_group,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class IngestProgress:
    """How far an ingest has come.

    Attributes
    ----------
    fov : str
        The FOV being written.
    frames : int
        Frames just written.
    bytes : int
        Size of those frames [byte].
    frames_in_all : int
        Frames of the whole ingest.
    """

    fov: str
    frames: int
    bytes: int
    frames_in_all: int


@dataclass(frozen=True, kw_only=True, slots=True)
class IngestedFov:
    """What became of one FOV.

    Attributes
    ----------
    fov : str
        Its name.
    n_frames : int
        Frames in the series.
    shape : tuple of int
        (n_y, n_x) of a frame.
    dtype : str
        Of a pixel.
    slow : bool
        Whether there is a slow scan.
    skipped : bool
        Whether the very same files were there already.
    """

    fov: str
    n_frames: int
    shape: tuple[int, int]
    dtype: str
    slow: bool
    skipped: bool


def ingest(
    store: str | Path,
    rapid: str | Path | Sequence[str | Path] = (),
    *,
    slow: str | Path | None = None,
    slow_is: str = "same",
    fov: str | None = None,
    frame_metadata: str | Path | None = None,
    use: str | None = None,
    manifest: str | Path | None = None,
    detector: str | None = None,
    rapid_settings: Mapping[str, Any] | None = None,
    slow_settings: Mapping[str, Any] | None = None,
    block: int | None = None,
    listener: Callable[[IngestProgress], None] = lambda _: None,
) -> list[IngestedFov]:
    """Add one FOV, or all FOVs of a manifest, to a store, making it if needed.

    Parameters
    ----------
    store : str or Path
        Folder of the store.
    rapid : path or sequence of paths
        Files of the rapid frames of one FOV; several make one series, in that order.
    slow : path, optional
        File of its slow scan.
    slow_is : {"same", "after"}
        Whether the slow scan shows the FOV as it was all along, or after an in-situ series.
    fov : str, optional
        Name of the FOV; by default made from the name of the first file.
    frame_metadata : path, optional
        CSV with one row a frame: ``time_s``, ``temperature_C`` and so on.
    use : {"train", "test"}, optional
        What the FOV is for.
    manifest : path, optional
        CSV that lists FOVs, instead of all of the above.
    detector : str, optional
        Which signal, where a file has several.
    rapid_settings, slow_settings : mapping, optional
        Scan settings (fields of `ScanSettings`) where files say too little or wrong.
    block : int, optional
        Frames in a block; by default what `frames_per_block` chooses.
    listener : callable
        Told of each block written.

    Returns
    -------
    list of IngestedFov

    Raises
    ------
    InputFileError, SeriesError
        If an input is missing, damaged or not what it should be; the store is then as it was.
    StoreConflictError
        If a FOV of that name holds other data.
    """
    rows, more = _rows(rapid, slow, slow_is, fov, frame_metadata, use, manifest)
    plans = [
        plan_fov(
            row,
            more,
            detector=detector,
            rapid_settings=rapid_settings or {},
            slow_settings=slow_settings or {},
        )
        for row in rows
    ]
    with _all_or_nothing(Path(store), plans) as (target, todo):
        total = sum(p.source.n_frames for p in todo)
        for plan in todo:
            _write_fov(target, plan, block, partial(_tell, listener, total))
        if todo:
            names = " ".join(p.fov for p in todo)
            target.add_history(f"ingest {names} from {' '.join(p.files[0] for p in todo)}")
            target.consolidate()
    written = {p.fov for p in todo}
    return [_summary(p, skipped=p.fov not in written) for p in plans]


def _tell(
    listener: Callable[[IngestProgress], None], total: int, fov: str, frames: int, n_bytes: int
) -> None:
    listener(IngestProgress(fov=fov, frames=frames, bytes=n_bytes, frames_in_all=total))


def _rows(
    rapid: str | Path | Sequence[str | Path],
    slow: str | Path | None,
    slow_is: str,
    fov: str | None,
    frame_metadata: str | Path | None,
    use: str | None,
    manifest: str | Path | None,
) -> tuple[list[ManifestRow], list[Path]]:
    files = [Path(f) for f in ([rapid] if isinstance(rapid, str | Path) else rapid)]
    if manifest is not None:
        if files or slow or fov or frame_metadata or use:
            raise SettingsError(
                "a manifest names all files itself: give either --manifest, or RAPID with its "
                "--slow, --fov, --frame-metadata and --use"
            )
        return read_manifest(Path(manifest)), []
    if not files:
        raise SettingsError("nothing to ingest: give RAPID files, or --manifest")
    if slow_is not in ("same", "after"):
        raise SettingsError(f"--slow-is is {slow_is!r}, but must be same or after")
    if use not in (None, "train", "test"):
        raise SettingsError(f"--use is {use!r}, but must be train or test")
    row = ManifestRow(
        fov=fov or fov_name(files[0]),
        rapid=files[0],
        slow=None if slow is None else Path(slow),
        slow_is=slow_is,
        frame_metadata=None if frame_metadata is None else Path(frame_metadata),
        use=use,
    )
    return [row], files[1:]


@contextmanager
def _all_or_nothing(
    path: Path, plans: Sequence[FovPlan]
) -> Iterator[tuple[AcquisitionStore, list[FovPlan]]]:
    """Give the store and the FOVs to write; take back what was begun if the input fails."""
    is_new = not (path / "zarr.json").is_file()
    store = AcquisitionStore.create(path)
    todo = []
    try:
        todo = [p for p in plans if not _is_there(store, p)]
        yield store, todo
    except StemscaleError:
        if is_new:
            store.destroy()
        for plan in [] if is_new else todo:
            store.delete(plan.fov)
        raise


def _is_there(store: AcquisitionStore, plan: FovPlan) -> bool:
    """Tell whether the very same files are in the store already; refuse others of that name."""
    group = rapid_group(plan.fov)
    if not store.has(group):
        return False
    attrs = store.attrs(group)
    slow_there = store.attrs(slow_group(plan.fov)) if store.has(slow_group(plan.fov)) else {}
    same_slow = plan.slow is None or plan.slow.sha256 == slow_there.get("source_sha256")
    unfinished = attrs.get("state") != "complete"
    if attrs.get("source_sha256") != plan.sha256 or not (same_slow or unfinished):
        raise StoreConflictError(
            f"{store.path} has a FOV {plan.fov} already, made from other files "
            f"({', '.join(attrs.get('source_files', []))}): choose another name with --fov"
        )
    return not unfinished


def _write_fov(
    store: AcquisitionStore,
    plan: FovPlan,
    block: int | None,
    progress: Callable[[str, int, int], None],
) -> None:
    group = rapid_group(plan.fov)
    ledger = store.ledger(group)
    with hold_lease(ledger.lease_file, what=f"{store.path}/{group}"):
        frames = _open_or_create(store, plan, block)
        for index in range(frames.n_blocks):
            start, stop = frames.bounds(index)
            if not is_on_disk(frames, ledger.record(index)):
                pixels = plan.source.read(start, stop)
                check_pixels(pixels, source=plan.source.name, first_frame=start)
                commit_block(frames, ledger, index, pixels.astype(frames.dtype, copy=False))
            n_bytes = (stop - start) * frames.dtype.itemsize * int(np.prod(frames.shape[1:]))
            progress(plan.fov, stop - start, n_bytes)
        if plan.slow is not None:
            _write_slow(store, plan.fov, plan.slow)
        finish_frames(store, group, ledger.records(), with_status=False)
        store.set_attrs(group, {"content_hash": _content_hash(store, group)})
        store.set_attrs(plan.fov, {"use": plan.use})
    logger.info("%s: %d frames of %s", plan.fov, frames.shape[0], plan.source.settings.shape)


def _open_or_create(store: AcquisitionStore, plan: FovPlan, block: int | None) -> FramesArray:
    group = rapid_group(plan.fov)
    source = plan.source
    if store.has(f"{group}/frames"):
        return store.frames(group)  # left by an ingest that was killed
    coordinates = frame_coordinates(source.settings, plan.per_frame, source.n_frames)
    attrs = {"source_files": plan.files, "source_sha256": plan.sha256, "state": "partial"}
    run = {"source_files": plan.files, "source_sha256": plan.sha256}
    array = store.create_frames(
        plan.fov,
        group,
        xr.Dataset(coords=coordinates, attrs=attrs),
        source.settings,
        n_frames=source.n_frames,
        dtype=source.dtype,
        with_fill=False,
        long_name="rapid frames as recorded",
        block=block or frames_per_block(source.n_frames, *source.settings.shape),
    )
    store.ledger(group).start(run)
    return array


def _write_slow(store: AcquisitionStore, fov: str, slow: SlowScan) -> None:
    group = slow_group(fov)
    attrs = {
        **slow.settings.to_attrs(),
        "relation": slow.relation,
        "source_files": [slow.file],
        "source_sha256": slow.sha256,
        "ome": multiscales("image", slow.settings, name=f"{fov} slow scan", series=False),
    }
    coordinates = image_coordinates(slow.settings)
    store.write_dataset(group, xr.Dataset(coords=coordinates, attrs=attrs), replace=True)
    store.write_image(group, "image", slow.image, {"units": "counts", "long_name": "slow scan"})
    written = store.path / group / "image" / "c" / "0" / "0"
    store.set_attrs(group, {"image_crc32": checksum(written)[1]})


def _content_hash(store: AcquisitionStore, group: str) -> str:
    """Name a series by what is in it, so that a filter knows on which it was trained."""
    digest = hashlib.sha256(repr(store.frames(group).shape).encode())
    for index, (size, crc32) in sorted(block_checksums(store, group).items()):
        digest.update(f"{index} {size} {crc32}".encode())
    return digest.hexdigest()


def _summary(plan: FovPlan, *, skipped: bool) -> IngestedFov:
    return IngestedFov(
        fov=plan.fov,
        n_frames=plan.source.n_frames,
        shape=plan.source.settings.shape,
        dtype=str(plan.source.dtype),
        slow=plan.slow is not None,
        skipped=skipped,
    )
