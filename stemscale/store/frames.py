"""The array ``frames`` of a group: created at full length, written in whole shards only."""

import copy
import json
import os
import re
import warnings
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from obstore.store import LocalStore
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.core.metadata import ArrayV3Metadata
from zarr.storage import MemoryStore, ObjectStore
from zarr.storage import StorePath as ZarrPath
from zarrs import ZarrsCodecPipeline
from zarrs._internal import CodecPipelineImpl

from stemscale.acquisition import Frames
from stemscale.errors import DamagedDataError, ProcessingError, StemscaleError, StoreError
from stemscale.store.files import StorePath, checksum, fsync_folder, write_bytes, zarr_store
from stemscale.store.layout import block_bounds, block_count
from stemscale.store.object_path import ObjectPath, ObjectStat

NAME = "frames"

# zarrs opens the same folder through obstore once more, and says so every time.
warnings.filterwarnings("ignore", "Successfully reconstructed a store", RuntimeWarning)


def codecs() -> list[Any]:
    """Codecs of every array of pixels.

    bitshuffle, since plain byte shuffle does nothing for low-bit detectors; crc32c last, since
    blosc and zstd decode a flipped bit as if it were good.
    """
    return [BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle"), Crc32cCodec()]


def _system_error(error: RuntimeError) -> int | None:
    """Give the number of what the system said, which zarrs says in words only."""
    said = re.search(r"os error (\d+)\)", str(error))
    return None if said is None else int(said[1])


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """A shard as it lies in the store, after it was written.

    Attributes
    ----------
    size : int
        [bytes].
    crc32 : int
        CRC-32 of all of it.
    mtime_ns : int
        When it was written, by whatever holds it [ns since 1970].
    e_tag : str
        What an object store calls that state of it; empty on a file system.
    """

    size: int
    crc32: int
    mtime_ns: int
    e_tag: str = ""


def create_frames(
    root: StorePath,
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
    root : Path or ObjectPath
        The store.
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
    return FramesArray(root, group.path)


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


class FramesArray:
    """One array of frames, seen as a row of blocks.

    Pixels go through zarrs, which packs and unpacks them with less work than Zarr's own codecs
    (tests/benchmarks/bench_ingest.py), and through obstore, which puts a shard in place whole:
    on Zarr's own local store zarrs writes in place, and leaves torn shards when it is killed.

    In an object store a block is packed and unpacked in memory by Zarr itself, and travels once and
    whole: what is checked is what is decoded.

    Parameters
    ----------
    root : Path or ObjectPath
        The store.
    group : str
        Path of the group inside it that holds the array ``frames``.

    Raises
    ------
    StoreError
        If there is no such array.
    """

    def __init__(self, root: StorePath, group: str) -> None:
        self.root = root
        self.group = group
        self._array = self._open()
        self.block = (self._array.shards or self._array.chunks)[0]

    def _open(self) -> zarr.Array[Any]:
        try:
            source = (
                ObjectStore(LocalStore(self.root))
                if isinstance(self.root, Path)
                else zarr_store(self.root)
            )
            array = zarr.open_array(source, path=f"{self.group}/{NAME}", mode="r+")
        except StemscaleError:
            raise
        except (FileNotFoundError, ValueError) as error:
            raise StoreError(f"{self.root} has no frames at {self.group}") from error
        if not isinstance(self.root, Path):
            return array
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

    def shard(self, index: int) -> StorePath:
        """File of a block."""
        return self.root / self.group / NAME / "c" / str(index) / "0" / "0"

    def stats(self) -> dict[int, os.stat_result | ObjectStat]:
        """Ask for size and time of the shards that are there, by number; of many, all at once."""
        folder = self.root / self.group / NAME / "c"
        found: dict[int, os.stat_result | ObjectStat] = {}
        if isinstance(folder, ObjectPath):
            for path, stat in folder.walk():
                parts = path.relative_to(folder).parts
                if len(parts) == 3 and parts[0].isdigit():
                    found[int(parts[0])] = stat
            return found
        for index in range(self.n_blocks):
            try:
                found[index] = self.shard(index).stat()
            except (FileNotFoundError, NotADirectoryError):
                continue
        return found

    def drop_leftovers(self) -> None:
        """Delete what writers that were killed had not put in place yet; none may be writing."""
        if isinstance(self.root, ObjectPath):  # what was not put whole is not there
            return
        for file in (self.root / self.group / NAME / "c").glob("*/0/0#*"):
            file.unlink(missing_ok=True)

    def resize(self, n_frames: int) -> None:
        """Change the length of the series; blocks beyond it are deleted, none is added."""
        self._array.resize((n_frames, *self.shape[1:]))
        self._array = self._open()

    def at_length(self, n_frames: int) -> "FramesArray":
        """Give the array as if it were longer, which nobody else sees: blocks first, length last.

        Parameters
        ----------
        n_frames : int
            Its length here; in the store it stays as it is.

        Returns
        -------
        FramesArray
        """
        found = copy.copy(self)
        found._array = at_length(self._array, n_frames)
        return found

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
        return self._decode(self._array, start, stop)

    def read_checked(
        self, start: int, stop: int, expected: Mapping[int, tuple[int, int]]
    ) -> tuple[Frames, list[int]]:
        """Read frames, after comparing the shards that they are in with what was recorded.

        Parameters
        ----------
        start, stop : int
            Frames ``start`` to ``stop`` (exclusive).
        expected : mapping of int to (size, crc32)
            By number of the block; one that is not in it is taken as it is.

        Returns
        -------
        frames : ndarray, shape (frame, y, x)
        crcs : list of int
            CRC-32 of each shard.

        Raises
        ------
        DamagedDataError
            If a shard is missing or is another one, or as for `read`.
        """
        crcs = []
        shards: dict[int, bytes] = {}
        for index in range(start // self.block, (stop - 1) // self.block + 1):
            shard = self.shard(index)
            try:
                if isinstance(shard, ObjectPath):
                    shards[index] = content = shard.read_bytes()
                    found = len(content), zlib.crc32(content)
                else:
                    found = checksum(shard)
            except FileNotFoundError as error:
                raise DamagedDataError(f"block {index} is missing: {shard}") from error
            if found != expected.get(index, found):
                raise DamagedDataError(f"block {index} changed since it was written: {shard}")
            crcs.append(found[1])
        make = default_buffer_prototype().buffer.from_bytes
        held = {self._key(i): make(content) for i, content in shards.items()}
        array = self._in_memory(held) if held else self._array
        return self._decode(array, start, stop), crcs

    def load(self, index: int) -> tuple[tuple[int, int], Callable[[], Frames]] | None:
        """Give size and CRC-32 of a block's shard, and what decodes it; None where there is none.

        From an object store, it is fetched once.
        """
        shard, bounds = self.shard(index), self.bounds(index)
        try:
            if not isinstance(shard, ObjectPath):
                return checksum(shard), lambda: self.read(*bounds)
            content = shard.read_bytes()
        except FileNotFoundError:
            return None
        held = {self._key(index): default_buffer_prototype().buffer.from_bytes(content)}
        array = self._in_memory(held)
        return (len(content), zlib.crc32(content)), lambda: self._decode(array, *bounds)

    def _decode(self, array: zarr.Array[Any], start: int, stop: int) -> Frames:
        try:
            return np.asarray(array[start:stop])
        except StemscaleError:
            raise
        except (ValueError, RuntimeError, OSError) as error:
            raise DamagedDataError(
                f"{self.root}: frames {start} to {stop - 1} of {self.group} cannot be read "
                f"({error}): run `stemscale verify` to see what is damaged"
            ) from error

    def _in_memory(self, held: dict[str, Buffer]) -> zarr.Array[Any]:
        """Give an array of which the shards, by their keys, are here."""
        store = ZarrPath(MemoryStore(held))
        array: zarr.Array[Any] = zarr.Array.from_dict(store, self._array.metadata.to_dict())
        return array.with_config({"write_empty_chunks": True})

    def _key(self, index: int) -> str:
        return self._array.metadata.encode_chunk_key((index, 0, 0))

    def write(self, index: int, frames: Frames) -> Written:
        """Write one whole block, in one assignment, and make it last.

        Parameters
        ----------
        index : int
            Number of the block.
        frames : ndarray, shape (frames of that block, y, x)
            In the array's dtype.

        Returns
        -------
        Written

        Raises
        ------
        DamagedDataError
            If it is not there afterwards.
        StoreError
            If shape or dtype are not those of the block: part of a shard is never written, since
            two tasks on one shard lose frames in silence.
        OSError
            If it cannot be written, as to a full disk.
        """
        start, stop = self.bounds(index)
        if frames.shape != (stop - start, *self.shape[1:]) or frames.dtype != self.dtype:
            raise StoreError(
                f"block {index} of {self.group} holds {(stop - start, *self.shape[1:])} "
                f"{self.dtype}, but {frames.shape} {frames.dtype} were to be written"
            )
        shard = self.shard(index)
        if isinstance(shard, ObjectPath):
            return self._put(shard, index, frames)
        try:
            self._array[start:stop] = frames
        except RuntimeError as error:
            number = _system_error(error)
            if number is None:
                raise
            raise OSError(number, os.strerror(number), str(shard)) from error
        if not shard.is_file():  # zarrs writes no shard that is all fill value
            shard.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(shard, self._pack(index, frames))
        if not shard.is_file():
            raise DamagedDataError(f"{shard} is missing right after it was written")
        with shard.open("rb") as stream:
            os.fsync(stream.fileno())
        for folder in shard.parents[:3]:  # the folders of a shard are as new as the shard
            fsync_folder(folder)
        mtime_ns = shard.stat().st_mtime_ns
        size, crc32 = checksum(shard)
        return Written(size=size, crc32=crc32, mtime_ns=mtime_ns)

    def _pack(self, index: int, frames: Frames) -> bytes:
        held: dict[str, Buffer] = {}
        self._in_memory(held)[slice(*self.bounds(index))] = frames
        return held[self._key(index)].to_bytes()

    def _put(self, shard: ObjectPath, index: int, frames: Frames) -> Written:
        content = self._pack(index, frames)
        e_tag = shard.write_bytes(content)  # the server compares it with its checksum
        there = shard.stat()
        if (there.st_size, there.e_tag) != (len(content), e_tag):
            raise ProcessingError(f"{shard} is another one right after it was put")
        return Written(
            size=len(content),
            crc32=zlib.crc32(content),
            mtime_ns=there.st_mtime_ns,
            e_tag=e_tag,
        )
