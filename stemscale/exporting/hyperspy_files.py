"""HyperSpy's files, through the writers of RosettaSciIO, a block at a time."""

import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import zarr
from dask.delayed import delayed

from stemscale.acquisition import Frames
from stemscale.exporting.series import Series


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
    """
    from rsciio.hspy import file_writer

    signal = _signal(series, tell)
    with dask.config.set(scheduler="synchronous"):  # one block in memory at a time
        file_writer(str(path), signal, chunks=_chunks(series), show_progressbar=False)


def write_zspy(series: Series, path: Path, tell: Callable[[int], None]) -> None:
    """Write a Zarr (version 2) folder that HyperSpy opens.

    Parameters
    ----------
    series, path, tell
        As for `write_hspy`.

    Notes
    -----
    The front door of RosettaSciIO's writer (0.15) makes its store by a function that Zarr 3 has
    not; the writer behind it is content with any Zarr group of version 2.
    """
    from rsciio.zspy._api import ZspyWriter, version

    signal = _signal(series, tell)
    lists: dict[str, list[Any]] = {}
    signal["original_metadata"] = _without_lists(signal["original_metadata"], "", lists)
    file = zarr.open_group(path, mode="w", zarr_format=2)
    file.attrs.update({"file_format": "ZSpy", "file_format_version": version})
    group = file.require_group(f"Experiments/{series.title}")
    with dask.config.set(scheduler="synchronous"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about names that Zarr 3 has new words for
        ZspyWriter(
            file,
            signal,
            group,
            chunks=_chunks(series),
            compressor=None,
            write_dataset=True,
            show_progressbar=False,
        ).write()
    for place, numbers in lists.items():
        where, _, name = place.rpartition("/")
        group.require_group(f"original_metadata/{where}").create_array(
            f"_list_{name}", data=np.array(numbers), compressors=None
        )


def _without_lists(tree: Any, place: str, lists: dict[str, list[Any]]) -> Any:
    """Take the lists out of metadata, as the writer behind the door cannot make them in Zarr 3.

    Lists of numbers are written as HyperSpy has them; others become JSON text.
    """
    if isinstance(tree, Mapping):
        kept = {k: _without_lists(v, f"{place}/{k}".lstrip("/"), lists) for k, v in tree.items()}
        return {k: v for k, v in kept.items() if v is not None}
    if not isinstance(tree, list):
        return tree
    if tree and all(isinstance(v, int | float) and not isinstance(v, bool) for v in tree):
        lists[place] = tree
        return None
    return json.dumps(tree)


def _chunks(series: Series) -> tuple[int, ...]:
    return series.settings.shape if series.is_image else (1, *series.settings.shape)


def _signal(series: Series, tell: Callable[[int], None]) -> dict[str, Any]:
    """Describe the series in the words of HyperSpy."""
    settings = series.settings
    pixel, interval = settings.pixel_size_nm, settings.frame_interval_s
    axes = [
        _axis(name, n, pixel, "nm", navigate=False)
        for name, n in (("y", settings.n_y), ("x", settings.n_x))
    ]
    if not series.is_image:
        axes.insert(0, _axis("frame", series.n_frames, interval, "s", navigate=True))
    tem: dict[str, Any] = {
        "beam_energy": settings.high_tension_kv,
        "magnification": settings.magnification,
        "microscope": settings.instrument,
        "acquisition_mode": "STEM",
    }
    if settings.dwell_time_ns is not None:
        tem["Detector"] = {"dwell_time": settings.dwell_time_ns * 1e-9}
    about = dict(series.attrs)
    original = about.pop("original_metadata", {})
    history = str(series.store.attrs("").get("history", ""))
    return {
        "data": _lazy(series, tell),
        "axes": axes,
        "metadata": {
            "General": {"title": series.title, "original_filename": series.store.path.name},
            "Signal": {"signal_type": "", "quantity": "Intensity (counts)"},
            "Acquisition_instrument": {"TEM": {k: v for k, v in tem.items() if v is not None}},
        },
        "original_metadata": {
            "stemscale": {"attrs": about, "per_frame": dict(series.per_frame), "history": history},
            "microscope": original,
        },
        "attributes": {"_lazy": True},
        "learning_results": {},
        "package_info": {"package": "stemscale", "package_version": ""},
        "models": {},
        "tmp_parameters": {},
    }


def _axis(name: str, n: int, step: float | None, units: str, *, navigate: bool) -> dict[str, Any]:
    known = step is not None
    return {
        "_type": "UniformDataAxis",
        "name": name,
        "size": n,
        "scale": step if known else 1.0,
        "offset": 0.0,
        "units": units if known else "",
        "navigate": navigate,
        "is_binned": False,
    }


def _lazy(series: Series, tell: Callable[[int], None]) -> Any:
    def read(start: int, stop: int) -> Frames:
        frames = series.read(start, stop)
        tell(stop - start)
        return frames

    parts = []
    for start in range(0, series.n_frames, series.block):
        stop = min(start + series.block, series.n_frames)
        shape = (stop - start, *series.settings.shape)
        piece = delayed(read, pure=False)(start, stop)
        parts.append(da.from_delayed(piece, shape=shape, dtype=series.dtype))
    whole = da.concatenate(parts)
    return whole[0] if series.is_image else whole
