"""How pixels are stored: codecs, fill values, the layout of ``frames``."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.metadata import ArrayV3Metadata

from stemscale.acquisition import Frames

NAME = "frames"


def codecs() -> list[Any]:
    """Codecs of every array of pixels.

    bitshuffle, since plain byte shuffle does nothing for low-bit detectors; crc32c last, since
    blosc and zstd decode a flipped bit as if it were good.
    """
    return [BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle"), Crc32cCodec()]


def fill_value(dtype: np.dtype[Any]) -> int | float:
    """Value that stands for "never seen or never written" in filtered frames.

    Parameters
    ----------
    dtype : dtype
        Of the frames.

    Returns
    -------
    int or float
        0 for unsigned, the smallest number for signed integers, NaN for float.
    """
    if dtype.kind == "f":
        return float("nan")
    return int(np.iinfo(dtype).min)


def as_seen(stored: Frames) -> NDArray[np.float32]:
    """Bring filtered frames to float32, with NaN where a pixel was not seen.

    Parameters
    ----------
    stored : ndarray
        Of any shape, with the fill value where nothing was seen [counts].

    Returns
    -------
    ndarray of float32
        Of the same shape [counts].
    """
    frames = stored.astype(np.float32)
    if stored.dtype.kind != "f":
        frames[stored == fill_value(stored.dtype)] = np.nan
    return frames


def create_frames(
    group: zarr.Group,
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    *,
    block: int,
    coordinates: Iterable[str],
    with_fill: bool,
    long_name: str,
) -> None:
    """Lay out an empty array of frames.

    Parameters
    ----------
    group : zarr.Group
        Of the store, open for writing.
    shape : tuple of int
        (frame, y, x).
    dtype : dtype
        Stored in little-endian order.
    block : int
        Frames in a shard.
    coordinates : iterable of str
        Names of the coordinates along ``frame``, so that xarray finds them.
    with_fill : bool
        Whether pixels may be missing; then they carry a CF ``_FillValue``.
    long_name : str
        CF long name.
    """
    dtype = dtype.newbyteorder("<")
    fill = fill_value(dtype) if with_fill else 0
    attributes: dict[str, Any] = {"units": "counts", "long_name": long_name}
    if names := " ".join(coordinates):
        attributes["coordinates"] = names
    if with_fill:
        attributes["_FillValue"] = _encode_fill(fill, dtype)
    group.create_array(
        NAME,
        shape=shape,
        dtype=dtype,
        chunks=(1, *shape[1:]),
        shards=(block, *shape[1:]),
        compressors=codecs(),
        fill_value=fill,
        dimension_names=("frame", "y", "x"),
        attributes=attributes,
        overwrite=True,
    )


def _encode_fill(fill: int | float, dtype: np.dtype[Any]) -> Any:
    # xarray's own way for Zarr v3, so that plain xarray decodes it: base64 for floats.
    from xarray.backends.zarr import FillValueCoder

    if dtype.kind == "f":
        return FillValueCoder.encode(np.float64(fill), np.dtype("<f8"))
    return fill


def at_length(array: zarr.Array[Any], length: int) -> zarr.Array[Any]:
    """Give an array as if its first axis had another length, which nobody else sees."""
    there = array.async_array
    assert isinstance(there.metadata, ArrayV3Metadata)
    metadata = there.metadata.update_shape((length, *array.shape[1:]))
    # made anew: since Zarr 3.2 an array keeps more of its shape than its metadata
    inner = zarr.AsyncArray(metadata, there.store_path, there.config)
    object.__setattr__(inner, "codec_pipeline", there.codec_pipeline)
    return zarr.Array(inner)
