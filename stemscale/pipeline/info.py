"""What is in a store."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stemscale.store import (
    FORMAT,
    SUMMARY,
    AcquisitionStore,
    calibration_group,
    filtered_group,
    rapid_group,
    slow_group,
)


def info(store: str | Path) -> dict[str, Any]:
    """Describe a store.

    Parameters
    ----------
    store : str or Path
        Folder of the store; only its metadata are read.

    Returns
    -------
    dict
        Of JSON values: FOVs with frames, shape, dtype, scan settings, what they were calibrated
        and filtered with; sizes in bytes; history.

    Raises
    ------
    StoreError
        If there is no store.
    """
    target = AcquisitionStore(store)
    return {
        "store": str(target.path),
        "format": FORMAT,
        "bytes_on_disk": sum(f.stat().st_size for f in _files(target.path)),
        "fovs": {fov: _fov(target, fov) for fov in target.fovs()},
        "summarized": target.has(SUMMARY),
        "history": str(target.attrs("").get("history", "")).splitlines(),
    }


def _fov(store: AcquisitionStore, fov: str) -> dict[str, Any]:
    group = rapid_group(fov)
    frames = store.frames(group)
    attrs = store.attrs(group)
    with store.dataset(group) as dataset:
        per_frame = {
            str(n): {
                "units": str(c.attrs.get("units", "")),
                "min": float(c.min()),
                "max": float(c.max()),
            }
            for n, c in dataset.coords.items()
            if c.dims == ("frame",) and n != "frame"
        }
    slow = store.attrs(slow_group(fov)) if store.has(slow_group(fov)) else None
    calibration = store.attrs(calibration_group(fov)) if store.has(calibration_group(fov)) else None
    return {
        "frames": frames.shape[0],
        "shape": list(frames.shape[1:]),
        "dtype": str(frames.dtype),
        "frames_per_block": frames.block,
        "state": attrs.get("state"),
        "use": store.attrs(fov).get("use"),
        "scan_settings": store.settings(group).to_attrs(),
        "per_frame": per_frame,
        "files": attrs.get("source_files", []),
        "slow": slow and {"relation": slow.get("relation"), **_settings(store, fov)},
        "calibration": calibration and {k: calibration.get(k) for k in _CALIBRATION},
        "filtered": {name: _filtered(store, fov, name) for name in store.filters(fov)},
    }


_CALIBRATION = ("method", "estimated_on", "carried_over", "zncc_before", "zncc_after")


def _settings(store: AcquisitionStore, fov: str) -> dict[str, Any]:
    settings = store.settings(slow_group(fov))
    return {"shape": list(settings.shape), **settings.to_attrs()}


def _filtered(store: AcquisitionStore, fov: str, name: str) -> dict[str, Any]:
    attrs = store.attrs(filtered_group(fov, name))
    about = {k: attrs.get(k) for k in ("state", "filter", "distortion", "trained_on")}
    return {"frames": store.frames(filtered_group(fov, name)).shape[0], **about}


def _files(path: Path) -> Iterator[Path]:
    return (f for f in path.rglob("*") if f.is_file())
