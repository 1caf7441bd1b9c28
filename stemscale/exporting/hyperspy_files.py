"""HyperSpy's files, a block at a time."""

import re
import warnings
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import zarr

from stemscale.exporting.series import Series

_FORMAT = "3.3"  # of HyperSpy's files: what RosettaSciIO 0.15 writes
_BLOSC: dict[str, Any] = {"id": "blosc", "cname": "zstd", "clevel": 1, "shuffle": 2, "blocksize": 0}
_LONGEST = 16_000  # characters; an attribute of HDF5 holds 64 kB at most


def write_hspy(series: Series, path: Path, tell: Callable[[int], None]) -> None:
    """Write an HDF5 file that HyperSpy opens.

    Parameters
    ----------
    series : Series
        What to write.
    path : Path
        The file; replaced if it exists.
    tell : callable
        Told the number of frames after each block.

    Notes
    -----
    RosettaSciIO writes all but the pixels: of a Dask array its writer makes a task a frame.
    """
    from rsciio.hspy import file_writer

    signal = _signal(series)
    file_writer(str(path), signal, write_dataset=False, compression=None, shuffle=False)
    with h5py.File(path, "r+") as file:
        data = file[f"Experiments/{series.title}"].create_dataset(
            "data",
            shape=series.shape,
            dtype=series.dtype,
            chunks=(1, *series.settings.shape)[-len(series.shape) :],
            compression="gzip",  # what every HDF5 can read
            compression_opts=1,
            shuffle=True,
        )
        _fill(data, series, tell)


def write_zspy(series: Series, path: Path, tell: Callable[[int], None]) -> None:
    """Write a Zarr (version 2) folder that HyperSpy opens.

    Parameters
    ----------
    series, path, tell
        As for `write_hspy`.

    Notes
    -----
    Not by RosettaSciIO's writer: that of 0.15 calls functions that Zarr 3 has not.
    """
    signal = _signal(series)
    root = zarr.open_group(path, mode="w", zarr_format=2)
    root.attrs.update({"file_format": "ZSpy", "file_format_version": _FORMAT})
    group = root.require_group("Experiments").require_group(series.title)
    group.attrs.update(signal["package_info"])
    for i, axis in enumerate(signal["axes"]):
        _put(group.require_group(f"axis-{i}"), axis)
    for part in ("metadata", "original_metadata", "learning_results", "attributes"):
        _put(group.require_group(part), signal[part])
    data = group.create_array(
        "data",
        shape=series.shape,
        dtype=series.dtype,
        chunks=(series.block, *series.settings.shape)[-len(series.shape) :],
        compressors=_BLOSC,
        fill_value=0,
        chunk_key_encoding={"name": "v2", "separator": "/"},
    )
    _fill(data, series, tell)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(root.store)


def _fill(data: Any, series: Series, tell: Callable[[int], None]) -> None:
    start = 0
    for frames in series.pieces():
        if series.is_image:
            data[...] = frames[0]
        else:
            data[start : start + len(frames)] = frames
        start += len(frames)
        tell(len(frames))


def _put(group: zarr.Group, tree: Mapping[str, Any]) -> None:
    attrs: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            _put(group.require_group(key), value)
        elif isinstance(value, np.ndarray):
            array = group.create_array(
                key, shape=value.shape, dtype=value.dtype, chunks=value.shape
            )
            array[...] = value
        elif isinstance(value, list) and not value:
            attrs[f"_list_empty_{key}"] = "_None_"
        else:
            attrs[key] = "_None_" if value is None else value
    group.attrs.update(attrs)


def _signal(series: Series) -> dict[str, Any]:
    """Describe the series in the words of HyperSpy, without its pixels."""
    settings = series.settings
    axes = [
        _axis(name, n, settings.pixel_size_nm, "nm", navigate=False)
        for name, n in (("y", settings.n_y), ("x", settings.n_x))
    ]
    if not series.is_image:
        interval = settings.frame_interval_s
        axes.insert(0, _axis("frame", series.n_frames, interval, "s", navigate=True))
    about = dict(series.attrs)
    about.pop("ome", None)
    original = about.pop("original_metadata", {})
    ours = {
        "attrs": about,
        "per_frame": dict(series.per_frame),
        "coordinates": dict(series.coordinates),
        "history": str(series.store.attrs("").get("history", "")),
    }
    return {
        "data": None,
        "axes": axes,
        "metadata": _storable(
            {
                "General": _general(series),
                "Signal": {"signal_type": "", "quantity": "Intensity (Counts)"},
                "Acquisition_instrument": {"TEM": _instrument(series)},
            }
        ),
        "original_metadata": _storable({"stemscale": ours, "microscope": original}),
        "attributes": {"_lazy": False, "ragged": False},
        "learning_results": {},
        "package_info": {"package": "", "package_version": ""},  # none is needed to read it
        "models": {},
        "tmp_parameters": {},
    }


def _general(series: Series) -> dict[str, Any]:
    files = series.attrs.get("source_files") or [series.store.path.name]
    found = {"title": series.title, "original_filename": files[0]}
    date, _, time = str(series.attrs.get("start_time", "")).removesuffix("Z").partition("T")
    if time:
        found |= {"date": date, "time": time, "time_zone": "UTC"}
    return {**found, "notes": f"exported by stemscale {version('stemscale')} from {series.group}"}


def _instrument(series: Series) -> dict[str, Any]:
    """Give what HyperSpy's metadata structure has a place for, and the rest under ``Scan``."""
    settings = series.settings
    scan = {
        "detector": settings.detector,
        "dwell_time": _times(settings.dwell_time_ns, 1e-9),  # s, as all times of HyperSpy
        "flyback_time": _times(settings.flyback_time_us, 1e-6),
        "frame_time": settings.frame_time_s,
    }
    stage = {n: _one(series.per_frame.get(n), 1.0) for n in ("tilt_alpha", "tilt_beta")}
    stage |= {a: _one(series.per_frame.get(f"stage_{a}"), 1e-6) for a in "xyz"}  # mm
    found: dict[str, Any] = {
        "acquisition_mode": "STEM",
        "beam_energy": settings.high_tension_kv,
        "magnification": settings.magnification,
        "microscope": settings.instrument,
        "beam_current": _one(series.per_frame.get("beam_current"), 1.0),
        "Scan": _known(scan),
        "Stage": _known(stage),
        "Detector": _known({"dwell_time": scan["dwell_time"]}),
    }
    return _known(found)


def _known(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in tree.items() if v not in (None, {})}


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _one(values: Any, factor: float) -> float | None:
    """Give the value that all frames have in common."""
    if values is None or len(values) == 0 or not (np.asarray(values) == values[0]).all():
        return None
    return float(values[0]) * factor


def _axis(name: str, n: int, step: float | None, units: str, *, navigate: bool) -> dict[str, Any]:
    return {
        "_type": "UniformDataAxis",
        "name": name,
        "size": n,
        "scale": 1.0 if step is None else step,
        "offset": 0.0,
        "units": "" if step is None else units,
        "navigate": navigate,
        "is_binned": False,
    }


def _storable(value: Any) -> Any:
    """Turn metadata into what both formats hold; a writer that meets more only logs a complaint."""
    if isinstance(value, Mapping):
        return {_key(str(k)): _storable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(v) for v in value]
    if isinstance(value, np.generic):
        return _storable(value.item())
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    if isinstance(value, str) and len(value) > _LONGEST:
        return [value[i : i + _LONGEST] for i in range(0, len(value), _LONGEST)]
    return value.replace("\0", "") if isinstance(value, str) else value


def _key(name: str) -> str:
    name = re.sub(r"[/\\\0]", "-", name)
    return name if name.strip(".") else f"_{name}"  # "", "." and ".." are paths
