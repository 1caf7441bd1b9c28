"""One series in a store: laid out before its first block, and finished after its last one."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import xarray as xr

from stemscale.acquisition import frame_coordinates, image_coordinates
from stemscale.ingestion.json_values import json_values
from stemscale.ingestion.plan import FovPlan, SlowScan
from stemscale.store import (
    AcquisitionStore,
    FramesArray,
    block_checksums,
    checksum,
    finish_frames,
    frames_per_block,
    multiscales,
    rapid_group,
    slow_group,
)

LONG_NAME = "rapid frames as recorded"


def lay_out(
    store: AcquisitionStore, plan: FovPlan, block: int | None, run: Mapping[str, Any]
) -> FramesArray:
    """Make the group of a series: coordinates, attributes, an empty array.

    Parameters
    ----------
    store : AcquisitionStore
    plan : FovPlan
        What is to be in it.
    block : int or None
        Frames in a block; None: what `frames_per_block` chooses.
    run : mapping
        What the ledger is to say.

    Returns
    -------
    FramesArray
    """
    group, source = rapid_group(plan.fov), plan.source
    array = store.create_frames(
        plan.fov,
        group,
        _dataset(plan),
        source.settings,
        n_frames=source.n_frames,
        dtype=source.dtype,
        with_fill=False,
        long_name=LONG_NAME,
        block=block or frames_per_block(source.n_frames, *source.settings.shape),
    )
    store.ledger(group).start(run)
    return array


def lay_out_anew(store: AcquisitionStore, plan: FovPlan) -> None:
    """Put all but the frames of a series as `lay_out` would; the array has the right length."""
    group, settings = rapid_group(plan.fov), plan.source.settings
    dataset = _dataset(plan)
    ome = multiscales("frames", settings, name=f"{plan.fov} {LONG_NAME}", series=True)
    attrs = {**dataset.attrs, **settings.to_attrs(), "ome": ome}
    gone = store.attrs(group).keys() - attrs.keys()
    store.set_attrs(group, {**dict.fromkeys(gone), **attrs})
    store.write_dataset(group, dataset.drop_attrs(deep=False))
    names = [str(n) for n in dataset.coords if n not in dataset.dims]
    store.frames(group).set_coordinates(names)


def finish(store: AcquisitionStore, plan: FovPlan, sha256: str, *, base: int = 0) -> None:
    """Say of a series whose blocks are all there what it was made from, and that it is complete.

    Parameters
    ----------
    store : AcquisitionStore
    plan : FovPlan
    sha256 : str
        Of its input.
    base : int
        Frame of the store at which the input begins.
    """
    group = rapid_group(plan.fov)
    attrs = store.attrs(group)
    files = [f.name for f in plan.files]
    if base:  # these continue the files that are there
        there = [f for f in attrs["source_files"] if f not in files]
        files = [*there, *files]
        chain = f"{attrs['source_sha256']} {sha256}".encode()
        sha256 = hashlib.sha256(chain).hexdigest()
    finish_blocks(store, group)
    appended = {"appended": True} if base or attrs.get("appended") else {}
    store.set_attrs(
        group,
        {
            "source_files": files,
            "source_sha256": sha256,
            "watched": None,
            **appended,
        },
    )
    store.set_attrs(plan.fov, {"use": plan.use, "scanned_together": plan.together or None})


def finish_blocks(store: AcquisitionStore, group: str) -> None:
    """Put checksums of all blocks, and the name of the content, into the store."""
    finish_frames(store, group, store.ledger(group).records(), with_status=False)
    store.set_attrs(group, {"content_hash": _content_hash(store, group)})


def write_slow(store: AcquisitionStore, fov: str, slow: SlowScan) -> None:
    """Write the slow scan of a FOV, in place of one that was there."""
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


def _dataset(plan: FovPlan) -> xr.Dataset:
    coordinates = frame_coordinates(plan.source.settings, plan.per_frame, plan.source.n_frames)
    attrs = {
        "source_files": [f.name for f in plan.files],
        "state": "partial",
        **_start_time(plan),
        "original_metadata": json_values(plan.source.original_metadata),
    }
    return xr.Dataset(coords=coordinates, attrs=attrs)


def _start_time(plan: FovPlan) -> dict[str, str]:
    began = plan.source.start_time
    if began is None:
        return {}
    seconds, rest = divmod(began, 10**9)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return {"start_time": f"{text}.{rest // 1000:06d}Z"}


def _content_hash(store: AcquisitionStore, group: str) -> str:
    """Name a series by what is in it, so that a filter knows on which it was trained."""
    digest = hashlib.sha256(repr(store.frames(group).shape).encode())
    for index, (size, crc32) in sorted(block_checksums(store, group).items()):
        digest.update(f"{index} {size} {crc32}".encode())
    return digest.hexdigest()
