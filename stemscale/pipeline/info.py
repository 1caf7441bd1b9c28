"""What is in a store: metadata, small arrays and file sizes, never pixels."""

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stemscale.acquisition import FRAME_QUANTITIES, ScanSettings
from stemscale.store import (
    FORMAT,
    FRAME_STATUS,
    SUMMARY,
    AcquisitionStore,
    FramesArray,
    calibration_group,
    filtered_group,
    folder_sizes,
    rapid_group,
    slow_group,
)

_CALIBRATION = (
    "method",
    "estimated_on",
    "carried_over",
    "zncc_before",
    "zncc_after",
    "pixel_ratio",
    "fingerprint",
)
_FILTERED = (
    "filter",
    "filter_sha256",
    "filter_card",
    "window",
    "distortion",
    "distortion_transfer",
    "interpolation",
    "masked_pixels",
    "clipped_pixels",
    "trained_on",
)
_NO_INTEGER = np.iinfo(np.int64).min  # what stands for "not known" among integers, as NaT does


def info(
    store: str | Path, *, fovs: Collection[str] = (), metadata: bool = False
) -> dict[str, Any]:
    """Describe a store.

    Parameters
    ----------
    store : str or Path
        Folder of the store; its ledger may be missing.
    fovs : collection of str
        Names of the FOVs to describe; all where empty.
    metadata : bool
        Whether to give, as ``original_metadata``, what the files said of themselves.

    Returns
    -------
    dict
        Of JSON values: FOVs with frames, shape, dtype, scan settings, per-frame metadata, what
        they were calibrated and filtered with; sizes in bytes; history.

    Raises
    ------
    StoreError
        If there is no store, or a FOV is not in it.

    Examples
    --------
    >>> import stemscale
    >>> found = stemscale.info("run.zarr")
    >>> found["fovs"]["fov01"]["frames"], found["fovs"]["fov01"]["shape"]
    (24, [64, 64])
    >>> found["fovs"]["fov01"]["scan_settings"]["dwell_time_ns"]
    100.0
    >>> sorted(found["fovs"]["fov01"]["filtered"])
    ['live', 'standard']
    """
    target = AcquisitionStore(store)
    sizes = folder_sizes(target.path)
    there = target.fovs()
    wanted = target.require_fovs(list(fovs)) if fovs else there
    return {
        "store": str(target.path),
        "format": FORMAT,
        "bytes_on_disk": sizes[""],
        "fovs_in_store": len(there),
        "fovs": {fov: _fov(target, fov, sizes, metadata=metadata) for fov in wanted},
        "summarized": target.has(SUMMARY),
        "history": str(target.attrs("").get("history", "")).splitlines(),
    }


def _fov(
    store: AcquisitionStore, fov: str, sizes: Mapping[str, int], *, metadata: bool
) -> dict[str, Any]:
    group = rapid_group(fov)
    frames = store.frames(group)
    about, attrs = store.attrs(fov), store.attrs(group)
    settings = ScanSettings.from_attrs(attrs, frames.shape[1:])
    with store.dataset(group, decode=False) as dataset:
        # the coordinates of dimensions would become indexes, which takes importing Dask and pint
        small = dataset.drop_vars(["frames", *dataset.dims], errors="ignore")
        per_frame = _per_frame(xr.decode_cf(small, decode_timedelta=False))
    found = {
        **_array(store, frames, attrs, sizes),
        "bytes_on_disk": sizes[fov],
        "use": about.get("use"),
        "scanned_together": list(about.get("scanned_together") or []),
        "start_time": attrs.get("start_time"),
        "scan_settings": settings.to_attrs(),
        "frame_interval_s": settings.frame_interval_s,
        "per_frame": per_frame,
        "files": list(attrs.get("source_files", [])),
        "source_sha256": attrs.get("source_sha256"),
        "content_hash": attrs.get("content_hash"),
        "slow": _slow(store, fov),
        "calibration": _calibration(store, fov),
        "filtered": {name: _filtered(store, fov, name, sizes) for name in store.filters(fov)},
    }
    if metadata:
        found["original_metadata"] = attrs.get("original_metadata", {})
    return found


def _array(
    store: AcquisitionStore,
    frames: FramesArray,
    attrs: Mapping[str, Any],
    sizes: Mapping[str, int],
) -> dict[str, Any]:
    """Describe an array of frames; its ratio counts what is on disk only."""
    n_frames, n_y, n_x = frames.shape
    per_frame = n_y * n_x * frames.dtype.itemsize
    bounds = (frames.bounds(i) for i in frames.stats())
    on_disk = sizes[f"{frames.group}/frames"]
    written = sum(stop - start for start, stop in bounds) * per_frame
    return {
        "frames": n_frames,
        "shape": [n_y, n_x],
        "dtype": str(frames.dtype),
        "frames_per_block": frames.block,
        "blocks": frames.n_blocks,
        "blocks_done": _blocks_done(store, frames, attrs.get("state")),
        "state": attrs.get("state"),
        "frames_bytes_on_disk": on_disk,
        "frames_bytes_uncompressed": n_frames * per_frame,
        "compression_ratio": written / on_disk if written and on_disk else None,
    }


def _blocks_done(store: AcquisitionStore, frames: FramesArray, state: str | None) -> int | None:
    """Count the blocks that are recorded as written, where something still tells it."""
    if state == "complete":
        return frames.n_blocks
    ledger = store.ledger(frames.group)
    if ledger.run() is not None:
        return ledger.count()
    if not store.has(f"{frames.group}/block_size"):
        return None
    return int((_small(store, f"{frames.group}/block_size") > 0).sum())


def _slow(store: AcquisitionStore, fov: str) -> dict[str, Any] | None:
    group = slow_group(fov)
    if not store.has(group):
        return None
    attrs, settings = store.attrs(group), store.settings(group)
    return {
        "relation": attrs.get("relation"),
        "shape": list(settings.shape),
        **settings.to_attrs(),
        "frame_interval_s": settings.frame_interval_s,
        "files": list(attrs.get("source_files", [])),
    }


def _calibration(store: AcquisitionStore, fov: str) -> dict[str, Any] | None:
    if not store.has(calibration_group(fov)):
        return None
    attrs = store.attrs(calibration_group(fov))
    return {k: attrs.get(k) for k in _CALIBRATION}


def _filtered(
    store: AcquisitionStore, fov: str, name: str, sizes: Mapping[str, int]
) -> dict[str, Any]:
    group = filtered_group(fov, name)
    attrs = store.attrs(group)
    lost: dict[str, int] = {}
    if store.has(f"{group}/frame_status"):
        status = _small(store, f"{group}/frame_status")
        lost = {k: int((status == v).sum()) for k, v in FRAME_STATUS.items() if k != "done"}
    return {
        **_array(store, store.frames(group), attrs, sizes),
        "bytes_on_disk": sizes[group],
        **{k: attrs.get(k) for k in _FILTERED},
        "frames_pending": lost.get("pending"),
        "frames_failed": lost.get("failed"),
        "frames_damaged": lost.get("damaged_input"),
    }


def _small(store: AcquisitionStore, array: str) -> NDArray[Any]:
    """Read a small array by itself: opening its group would open every array in it."""
    return np.asarray(store.array(array)[:])


def _per_frame(dataset: xr.Dataset) -> dict[str, Any]:
    """Describe the coordinates along ``frame``, dates decoded: known quantities, then others."""
    known = list(FRAME_QUANTITIES)
    names = [str(n) for n, c in dataset.coords.items() if c.dims == ("frame",) and n != "frame"]
    names.sort(key=lambda n: (known.index(n) if n in known else len(known), n))
    return {n: _column(dataset[n].values, dataset[n].attrs) for n in names}


def _column(values: NDArray[Any], attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Describe one quantity; what is not known is None, and counted."""
    about = {"units": str(attrs.get("units", "")), "long_name": str(attrs.get("long_name", ""))}
    if "flag_meanings" in attrs:
        return {**about, "kind": "word", **_words(values, attrs)}
    if values.dtype.kind == "M":
        texts = np.datetime_as_string(values.astype("datetime64[us]"), unit="us")
        about["units"] = "UTC"
        return {
            **about,
            "kind": "date",  # as text, dates sort as they follow each other
            **_range([None if t == "NaT" else f"{t}Z" for t in texts.tolist()]),
        }
    if values.dtype.kind not in "iufb":
        return {**about, "kind": "word", **_range([str(v) for v in values.tolist()])}
    known = np.isfinite(values.astype(float)) & (values != _NO_INTEGER)
    pairs = zip(values.tolist(), known.tolist(), strict=True)
    return {**about, "kind": "number", **_range([float(v) if k else None for v, k in pairs])}


def _words(codes: NDArray[Any], attrs: Mapping[str, Any]) -> dict[str, Any]:
    meanings = ["" if w == "_" else w for w in str(attrs["flag_meanings"]).split()]
    values = np.atleast_1d(attrs.get("flag_values", range(len(meanings)))).tolist()
    meaning = dict(zip(values, meanings, strict=False))
    words = [meaning.get(code) for code in codes.tolist()]
    counts = Counter(w for w in words if w is not None)
    return {**_range(words), "words": dict(counts.most_common())}


def _range(values: list[Any]) -> dict[str, Any]:
    known = [v for v in values if v is not None]
    return {
        "min": min(known, default=None),
        "max": max(known, default=None),
        "first": values[0] if values else None,
        "last": values[-1] if values else None,
        "constant": len(set(known)) == 1,
        "missing": len(values) - len(known),
    }
