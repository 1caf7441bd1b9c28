"""The array ``frames`` of a group: created at full length, written in whole shards only."""

import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from obstore.store import LocalStore
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.storage import ObjectStore
from zarrs import ZarrsCodecPipeline
from zarrs._internal import CodecPipelineImpl

from stemscale.acquisition import Frames
from stemscale.errors import DamagedDataError, StoreError
from stemscale.store.layout import block_bounds, block_count

NAME = "frames"

# zarrs opens the same folder through obstore once more, and says so every time.
warnings.filterwarnings("ignore", "Successfully reconstructed a store", RuntimeWarning)


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


def create_frames(
    group: zarr.Group,
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    *,
    block: int,
    coordinates: Iterable[str],
    with_fill: bool,
    long_name: str,
) -> "FramesArray":
    """Lay out an empty array of frames.

    Parameters
    ----------
    group : zarr.Group
        Open for writing.
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

    Returns
    -------
    FramesArray
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
    return FramesArray(Path(str(group.store_path.store.root)), group.path)  # type: ignore[attr-defined]


def _encode_fill(fill: int | float, dtype: np.dtype[Any]) -> Any:
    # xarray's own way for Zarr v3, so that plain xarray decodes it: base64 for floats.
    from xarray.backends.zarr import FillValueCoder

    if dtype.kind == "f":
        return FillValueCoder.encode(np.float64(fill), np.dtype("<f8"))
    return fill


class FramesArray:
    """One array of frames, seen as a row of blocks.

    Pixels go through zarrs, which packs and unpacks them with less work than Zarr's own codecs
    (tests/benchmarks/bench_ingest.py), and through obstore, which puts a shard in place whole:
    on Zarr's own local store zarrs writes in place, and leaves torn shards when it is killed.

    Parameters
    ----------
    root : Path
        The store.
    group : str
        Path of the group inside it that holds the array ``frames``.

    Raises
    ------
    StoreError
        If there is no such array.
    """

    def __init__(self, root: Path, group: str) -> None:
        self.root = root
        self.group = group
        self._array = self._open()
        self.block = (self._array.shards or self._array.chunks)[0]

    def _open(self) -> zarr.Array[Any]:
        try:
            array = zarr.open_array(
                ObjectStore(LocalStore(self.root)), path=f"{self.group}/{NAME}", mode="r+"
            )
        except (FileNotFoundError, ValueError) as error:
            raise StoreError(f"{self.root} has no frames at {self.group}") from error
        # For this array alone: Zarr's settings are those of the process. One thread, since several
        # put the frames of a shard in any order; what calls this has threads of its own.
        pipeline = ZarrsCodecPipeline(
            metadata=array.metadata,
            store=array.store,
            impl=CodecPipelineImpl(
                json.dumps(array.metadata.to_dict()),
                array.store,
                validate_checksums=True,
                num_threads=1,
            ),
            python_impl=None,
        )
        object.__setattr__(array.async_array, "codec_pipeline", pipeline)
        return array

    @property
    def shape(self) -> tuple[int, int, int]:
        """(frame, y, x)."""
        n, n_y, n_x = self._array.shape
        return n, n_y, n_x

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one pixel."""
        return np.dtype(self._array.dtype)

    @property
    def n_blocks(self) -> int:
        """Blocks in the array."""
        return block_count(self.shape[0], self.block)

    def bounds(self, index: int) -> tuple[int, int]:
        """First frame of a block, and the first one after it."""
        return block_bounds(index, self.shape[0], self.block)

    def shard(self, index: int) -> Path:
        """File of a block."""
        return self.root / self.group / NAME / "c" / str(index) / "0" / "0"

    def drop_leftovers(self) -> None:
        """Delete what writers that were killed had not put in place yet; none may be writing."""
        for file in (self.root / self.group / NAME / "c").glob("*/0/0#*"):
            file.unlink(missing_ok=True)

    def resize(self, n_frames: int) -> None:
        """Change the length of the series; blocks beyond it are deleted, none is added."""
        self._array.resize((n_frames, *self.shape[1:]))
        self._array = self._open()

    def set_coordinates(self, names: Iterable[str]) -> None:
        """Say which variables are coordinates along ``frame``, so that xarray finds them."""
        self._array.update_attributes({"coordinates": " ".join(names)})

    def read(self, start: int, stop: int) -> Frames:
        """Read frames ``start`` to ``stop`` (exclusive).

        Raises
        ------
        DamagedDataError
            If a chunk fails its checksum, or a shard is torn.
        """
        try:
            return np.asarray(self._array[start:stop])
        except (ValueError, RuntimeError, OSError) as error:
            raise DamagedDataError(
                f"{self.root}: frames {start} to {stop - 1} of {self.group} cannot be read "
                f"({error}): run `stemscale verify` to see what is damaged"
            ) from error

    def write(self, index: int, frames: Frames) -> None:
        """Write one whole block, in one assignment.

        Parameters
        ----------
        index : int
            Number of the block.
        frames : ndarray, shape (frames of that block, y, x)
            In the array's dtype.

        Raises
        ------
        StoreError
            If shape or dtype are not those of the block: part of a shard is never written, since
            two tasks on one shard lose frames in silence.
        """
        start, stop = self.bounds(index)
        if frames.shape != (stop - start, *self.shape[1:]) or frames.dtype != self.dtype:
            raise StoreError(
                f"block {index} of {self.group} holds {(stop - start, *self.shape[1:])} "
                f"{self.dtype}, but {frames.shape} {frames.dtype} were to be written"
            )
        self._array[start:stop] = frames
        if not self.shard(index).is_file():  # zarrs writes no shard that is all fill value
            plain = zarr.open_array(self.root / self.group / NAME, mode="r+")
            plain.with_config({"write_empty_chunks": True})[start:stop] = frames
