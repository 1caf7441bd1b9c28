"""Filtered frames that are made when they are looked at: `process` without a store."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.delayed import delayed

from stemscale.acquisition import Frames, ScanSettings, image_coordinates
from stemscale.corrections import read_calibration
from stemscale.denoising import Filter, SeriesScale, load_filter, series_scale
from stemscale.distortion import INTERPOLATIONS, DistortionMap, Interpolation
from stemscale.errors import FilterError, SeriesError, SettingsError
from stemscale.pipeline.filters import FilterChoice, choose_filter
from stemscale.pipeline.once import once
from stemscale.pipeline.pixels import FloatFrames, PixelWork, require_dtype, store_frame

_SCALE_FRAMES = 64  # that a series' scale is taken from, as in `process`


def denoise(
    data: xr.DataTree | xr.Dataset,
    filter: str | Path,
    *,
    interpolation: Interpolation = "linear",
    dtype: str | None = None,
    window: int | None = None,
    weighted: bool = False,
) -> xr.Dataset:
    """Correct and filter frames lazily, for a look at some of them.

    Parameters
    ----------
    data : DataTree or Dataset
        A FOV of an opened store (``xarray.open_datatree(STORE, engine="zarr")["fov01"]``), which
        is corrected by its calibration where it has one; or a dataset with ``frames``
        (frame, y, x), which are not corrected. Frames are filtered in the chunks that they come
        in; one by one where they are not chunked.
    filter : str or Path
        A ``.safetensors`` file, ``standard`` or ``live``, which come with the package, ``none``, or
        ``dcfi`` with a window (aligned by chunks: give those of the store's blocks).
    interpolation : {"linear", "cubic", "lanczos"}
        How frames are corrected.
    dtype : {"float32"}, optional
        Keeps fractions of counts; by default frames are rounded to the dtype they were recorded in.
    window : int, optional
        For ``dcfi``: frames averaged around each, odd.
    weighted : bool
        For ``dcfi``: whether frames weigh by their quality.

    Returns
    -------
    Dataset
        ``frames`` (frame, y, x), float32 [counts], over Dask: what `process` writes, as xarray
        shows it; NaN = not seen. With the per-frame coordinates of the input.

    Raises
    ------
    FilterError
        If the filter is unknown, or one that needs a run of `process`: the average of a whole
        series, or a classical filter, whose parameters are found on the series.
    SeriesError
        If there are no frames.
    SettingsError
        If window, interpolation or dtype make no sense.

    Examples
    --------
    One frame is corrected and filtered, and is what `process` has written to the store:

    >>> import numpy as np
    >>> import stemscale
    >>> tree = stemscale.open("run.zarr")
    >>> filtered = stemscale.denoise(tree["fov01"], "live")
    >>> frame = filtered["frames"][17].compute()
    >>> np.array_equal(frame, tree["fov01/filtered/live/frames"][17], equal_nan=True)
    True
    """
    choice = choose_filter(filter, window=window, weighted=weighted)
    if choice.classical or choice.whole_series:
        raise FilterError(
            f"filter {choice.label} looks at the whole series first: run `stemscale process`"
            + (", or give a window" if choice.whole_series else "")
        )
    if interpolation not in INTERPOLATIONS:
        raise SettingsError(
            f"interpolation {interpolation!r} is unknown: choose one of {', '.join(INTERPOLATIONS)}"
        )
    require_dtype(dtype)
    rapid, calibration = _parts(data)
    frames = rapid["frames"]
    shape = (frames.sizes["y"], frames.sizes["x"])
    settings = ScanSettings.from_attrs(rapid.attrs, shape)
    distortion = None
    if calibration is not None:
        known = read_calibration(calibration)
        distortion, settings = known.distortion, known.corrected_settings(settings)
    scale = None
    if choice.kind == "file":
        scale = series_scale(np.asarray(frames[:_SCALE_FRAMES].values))
    recipe = _Recipe(
        choice=choice,
        file=str(choice.file),
        distortion=distortion,
        rapid_shape=shape,
        interpolation=interpolation,
        scale=scale,
        dtype=dtype,
    )
    coordinates = {n: c for n, c in rapid.coords.items() if c.dims == ("frame",)}
    about = {
        "units": frames.attrs.get("units", "counts"),
        "long_name": f"rapid frames after {choice.label}",
    }
    filtered = _blocks(frames, recipe, settings.shape)
    return xr.Dataset(
        {"frames": (("frame", "y", "x"), filtered, about)},
        coords={**image_coordinates(settings), **coordinates},
        attrs={**settings.to_attrs(), "filter": choice.label},
    )


def _parts(data: xr.DataTree | xr.Dataset) -> tuple[xr.Dataset, xr.Dataset | None]:
    """Give rapid frames, and the calibration where there is one."""
    calibration = None
    if isinstance(data, xr.DataTree):
        if "calibration" in data.children and "rapid" in data.children:
            calibration = data["calibration"].to_dataset()
        data = (data["rapid"] if "rapid" in data.children else data).to_dataset()
    if "frames" not in data or data["frames"].dims != ("frame", "y", "x"):
        raise SeriesError(
            "there are no frames (frame, y, x) to filter: give a FOV of an opened store, as "
            'xarray.open_datatree(STORE, engine="zarr")["fov01"], or its group rapid'
        )
    return data, calibration


@dataclass(frozen=True, kw_only=True, eq=False)
class _Recipe:
    """All that is done to frames, small enough for a graph; the network is loaded where it runs."""

    choice: FilterChoice
    file: str
    distortion: DistortionMap | None
    rapid_shape: tuple[int, int]
    interpolation: Interpolation
    scale: SeriesScale | None
    dtype: str | None
    _made: list[PixelWork] = field(default_factory=list, init=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_made": []}

    def work(self) -> PixelWork:
        if not self._made:
            sha256 = self.choice.sha256
            made = PixelWork(
                self.choice,
                distortion=self.distortion,
                rapid_shape=self.rapid_shape,
                interpolation=self.interpolation,
                filter=None if sha256 is None else _loaded(self.file, sha256),
                scale=self.scale,
            )
            self._made.append(made)
        return self._made[0]


@once(most=4)
def _loaded(file: str, sha256: str) -> Filter:
    del sha256  # another one is another filter, under the same name
    return load_filter(Path(file))


def _blocks(frames: xr.DataArray, recipe: _Recipe, shape: tuple[int, int]) -> da.Array:
    """Filter block by block, each with the neighbours that it needs."""
    n_frames, halo = frames.sizes["frame"], recipe.choice.halo
    source = frames.data if frames.chunks else frames.variable.chunk({"frame": 1}).data
    shared = delayed(recipe, pure=False)
    filter_part = delayed(_filter_part, pure=False)
    parts, start = [], 0
    for size in source.chunks[0]:
        stop = start + size
        first, last = max(0, start - halo), min(n_frames, stop + halo)
        part = filter_part(shared, source[first:last], first, start - first, stop - first)
        parts.append(da.from_delayed(part, shape=(size, *shape), dtype=np.float32))
        start = stop
    joined: da.Array = da.concatenate(parts)
    return joined


def _filter_part(recipe: _Recipe, frames: Frames, first: int, start: int, stop: int) -> FloatFrames:
    work = recipe.work()
    corrected = work.correct(frames, first)
    filtered = work.filter(frames, corrected, first=first, which=slice(start, stop))
    dtype = recipe.dtype or frames.dtype
    seen = [store_frame(f, np.empty(f.shape, dtype=dtype))[0] for f in filtered]
    return np.stack(seen) if seen else filtered
