"""Small files of a store and its ledger, wherever it is: whole or not at all, and lasting."""

import io
import json
import os
import secrets
import shutil
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zarr.abc.store import Store as ZarrStore

from stemscale.errors import StoreError
from stemscale.store.object_path import SCHEMES, ObjectPath
from stemscale.store.object_store import OurObjectStore

StorePath = Path | ObjectPath
"""Where a store, or a part of one, is: a folder, or what is below a key of an object store."""

_AT_ONCE = 16  # requests to an object store


def store_path(where: "str | StorePath") -> StorePath:
    """Read where a store is from what a user says: a path, or a URL as ``s3://bucket/run.zarr``.

    Raises
    ------
    StoreError
        If it is a URL of something else.

    Examples
    --------
    >>> from stemscale.store import store_path
    >>> str(store_path("s3://bucket/run.zarr"))
    's3://bucket/run.zarr'
    >>> store_path("ftp://server/run.zarr")
    Traceback (most recent call last):
    stemscale.errors.StoreError: a URL of ftp:// is no place for a store: give a folder, ...
    """
    if isinstance(where, Path | ObjectPath):
        return where
    scheme, sign, _ = where.partition("://")
    if not sign:
        return Path(where)
    if scheme not in SCHEMES:
        raise StoreError(
            f"a URL of {scheme}:// is no place for a store: give a folder, or a URL that begins "
            f"with {', '.join(f'{s}://' for s in SCHEMES)}"
        )
    return ObjectPath(where)


def zarr_store(path: StorePath) -> Path | ZarrStore:
    """Give what Zarr and xarray open a store by."""
    return path if isinstance(path, Path) else OurObjectStore(str(path))


def write_bytes(file: StorePath, content: bytes) -> None:
    """Write a file so that after a crash it is there whole, or not at all.

    Its folder has to be there.
    """
    if isinstance(file, ObjectPath):
        file.write_bytes(content)
        return
    # At random: containers that share a disk have the same process numbers.
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    except OSError:  # as on a full disk
        temporary.unlink(missing_ok=True)
        raise
    fsync_folder(file.parent)


def write_together(contents: Mapping[StorePath, bytes]) -> None:
    """Replace files one right after the other, in the order given; each whole or not at all.

    That they are replaced need not survive a crash; that each is whole does.
    """
    temporaries: dict[Path, Path] = {}
    try:
        for file, content in contents.items():
            if isinstance(file, ObjectPath):
                file.write_bytes(content)
                continue
            temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}.tmp")
            temporaries[file] = temporary
            with temporary.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
    except OSError:  # as on a full disk
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)
        raise
    for file, temporary in temporaries.items():
        temporary.replace(file)


def write_json(file: StorePath, content: Mapping[str, Any]) -> None:
    """Write a JSON file, see `write_bytes`."""
    write_bytes(file, json.dumps(content).encode())


def read_json(file: StorePath) -> dict[str, Any] | None:
    """Read a JSON object, or None where there is no file.

    Raises
    ------
    StoreError
        If the file holds anything else.
    """
    try:
        found = json.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        raise StoreError(f"{file} cannot be read ({error}): delete it and run again") from error
    if not isinstance(found, dict):
        raise StoreError(f"{file} holds no JSON object: delete it and run again")
    return found


def read_many(files: Iterable[StorePath]) -> Iterator[dict[str, Any] | None]:
    """Read JSON files in their order, see `read_json`; several at once from an object store."""
    listed = list(files)
    if not listed or isinstance(listed[0], Path):
        yield from map(read_json, listed)
        return
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(read_json, listed)


def write_arrays(file: StorePath, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays (.npz), see `write_bytes`."""
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    write_bytes(file, stream.getvalue())


def read_arrays(file: StorePath) -> dict[str, NDArray[Any]] | None:
    """Read named arrays, or None where there is no file."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as found:
        return dict(found)


def remove_tree(folder: StorePath) -> None:
    """Take away a folder with all that is in it, if it is there."""
    if isinstance(folder, Path):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        folder.remove_tree()


def drop_torn_arrays(group: StorePath) -> None:
    """Take away what a write that was cut short left in a group: folders without a zarr.json.

    A full disk, or a kill, leaves them; zarr then warns whenever the group is opened. Objects are
    put whole, so that a bucket has none.
    """
    if isinstance(group, Path):
        for folder in group.iterdir():
            if folder.is_dir() and not (folder / "zarr.json").exists():
                remove_tree(folder)


def file_times(folder: StorePath) -> dict[str, float]:
    """Give when each JSON file of a folder was written, by its name [s since 1970]."""
    if isinstance(folder, Path):
        found = {}
        for file in folder.glob("*.json"):
            with suppress(FileNotFoundError):  # taken back meanwhile
                found[file.name] = file.stat().st_mtime
        return found
    return {f.name: s.st_mtime for f, s in folder.walk() if f.name.endswith(".json")}


def folder_sizes(root: StorePath) -> Counter[str]:
    """Give the bytes of the files below every folder, by its path under the root."""
    sizes: Counter[str] = Counter()
    for parts, n_bytes in _sizes(root):
        for depth in range(len(parts) + 1):
            sizes["/".join(parts[:depth])] += n_bytes
    return sizes


def _sizes(root: StorePath) -> Iterator[tuple[tuple[str, ...], int]]:
    if isinstance(root, ObjectPath):
        for path, found in root.walk():
            yield path.relative_to(root).parts[:-1], found.st_size
        return
    for folder, _, files in os.walk(root):
        n_bytes = sum(_size(Path(folder, file)) for file in files)
        yield Path(folder).relative_to(root).parts, n_bytes


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # a store may be written while it is described
        return 0


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder survive a crash."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def checksum(file: StorePath) -> tuple[int, int]:
    """Size [bytes] and CRC-32 of a file, read in pieces.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    if isinstance(file, ObjectPath):
        content = file.read_bytes()
        return len(content), zlib.crc32(content)
    crc = size = 0
    with file.open("rb") as stream:
        while piece := stream.read(2**22):
            crc = zlib.crc32(piece, crc)
            size += len(piece)
    return size, crc
