"""What Zarr and xarray open a store in an object store by."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import Any

import obstore
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import ObjectStore

from stemscale.store.object_path import client, told


class OurObjectStore(ObjectStore[Any]):
    """Zarr's store over obstore, with errors that a user understands, and pickled as its URL.

    Zarr's own pickles with its credentials; it also puts what is long in parts, of which a killed
    writer leaves some behind that nobody sees.

    Parameters
    ----------
    url : str
        As ``s3://bucket/run.zarr``.
    read_only : bool
        Whether to refuse writes.
    """

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        super().__init__(client(url), read_only=read_only)
        self._url = url

    def __reduce__(self) -> Any:
        return _open, (self._url, self.read_only)

    def with_read_only(self, read_only: bool = False) -> "OurObjectStore":
        """Give the same store, open for reading only or for writing too."""
        return OurObjectStore(self._url, read_only=read_only)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Fetch an object or a part of it."""
        with told(f"{self._url}/{key}"):
            return await super().get(key, prototype, byte_range)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Fetch parts of objects."""
        with told(self._url):
            return await super().get_partial_values(prototype, key_ranges)

    async def exists(self, key: str) -> bool:
        """Tell whether there is an object."""
        with told(f"{self._url}/{key}"):
            return await super().exists(key)

    async def set(self, key: str, value: Buffer) -> None:
        """Put an object, whole or not at all."""
        self._check_writable()
        with told(f"{self._url}/{key}"):
            await obstore.put_async(self.store, key, value.to_bytes(), use_multipart=False)

    async def delete(self, key: str) -> None:
        """Take an object away."""
        with told(f"{self._url}/{key}"):
            await super().delete(key)

    async def delete_dir(self, prefix: str) -> None:
        """Take away what is below."""
        with told(f"{self._url}/{prefix}"):
            await super().delete_dir(prefix)

    async def list_dir(self, prefix: str) -> AsyncGenerator[str, None]:
        """Give what is right below; of folders, those that have something: see `ObjectPath`."""
        with told(f"{self._url}/{prefix}"):
            found = await obstore.list_with_delimiter_async(self.store, prefix or None)
            folders = [str(p) for p in found["common_prefixes"]]
            filled = await asyncio.gather(*(self._has_objects(p) for p in folders))
        paths = [p for p, some in zip(folders, filled, strict=True) if some]
        paths += [o["path"] for o in found["objects"]]
        for path in paths:
            yield path.rpartition("/")[2]

    async def _has_objects(self, prefix: str) -> bool:
        async for some in obstore.list(self.store, prefix, chunk_size=1):
            return bool(some)
        return False


def _open(url: str, read_only: bool) -> OurObjectStore:
    return OurObjectStore(url, read_only=read_only)
