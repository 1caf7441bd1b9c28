"""A path in an object store: of `pathlib.Path`, what stores and ledgers are made with.

universal_pathlib, over obstore, was tried: its `is_file` says no where the server does not answer,
which would count as a block lost, and it asks two or three times where one request does.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import from_url

from stemscale.errors import StoreAwayError, StoreError, StoreUnavailableError

SCHEMES = ("s3",)  # obstore knows more, of which none was tried

_FIRST_S = 4.0  # that a server is waited for which has not answered yet, or did not lately
_PATIENCE_S = 60.0  # that a verb waits for a server that has answered before
_BRIEF_S = 10.0  # that a block waits: its run pauses by itself, and says so
_PUTS = 5  # tries of a put on condition
_BACK_OFF: Any = {
    "init_backoff": timedelta(milliseconds=100),
    "max_backoff": timedelta(seconds=2),
    "base": 2,
}
_CLIENT: Any = {"connect_timeout": "5s", "timeout": "120s"}  # a shard may be tens of MB


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectStat:
    """What an object store says of an object, under the names of `os.stat_result`.

    Attributes
    ----------
    st_size : int
        [bytes].
    st_mtime : float
        When it was put [s since 1970].
    e_tag : str
        Changes with the content.
    """

    st_size: int
    st_mtime: float
    e_tag: str

    @property
    def st_mtime_ns(self) -> int:
        """When it was put [ns since 1970]."""
        return round(self.st_mtime * 1e9)


class ObjectPath:
    """A path below a bucket, as ``s3://bucket/run.zarr``.

    It is no more than its text: endpoint and credentials come from the environment of the process
    that uses it, so that none is in a task, a record or a log.

    Parameters
    ----------
    url : str
        Scheme, bucket and key.

    Raises
    ------
    StoreError
        If the URL names no bucket, or carries credentials.
    """

    __slots__ = ("_bucket", "_key")

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if "@" in url or ":" in parts.netloc or parts.query or parts.fragment:
            raise StoreError(
                f"{parts.scheme}://.../{url.rpartition('/')[2]} carries more than bucket and key: "
                "give credentials in the environment, as AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY"
            )
        if parts.scheme not in SCHEMES or not parts.netloc:
            raise StoreError(
                f"{url} names no bucket: needed is something like s3://bucket/run.zarr"
            )
        self._bucket = f"{parts.scheme}://{parts.netloc}"
        self._key = PurePosixPath(*(p for p in parts.path.split("/") if p not in ("", ".")))
        if ".." in self._key.parts:
            raise StoreError(f"{url} has .. in it: write the key out")

    def _at(self, key: PurePosixPath) -> "ObjectPath":
        made = object.__new__(ObjectPath)
        made._bucket, made._key = self._bucket, key
        return made

    def __reduce__(self) -> tuple[type["ObjectPath"], tuple[str]]:
        return ObjectPath, (str(self),)

    def __str__(self) -> str:
        return f"{self._bucket}/{self.key}"

    def __repr__(self) -> str:
        return f"ObjectPath({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectPath) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __truediv__(self, more: str) -> "ObjectPath":
        return self._at(self._key / more.lstrip("/"))

    @property
    def key(self) -> str:
        """What stands after the bucket."""
        text = str(self._key)
        return "" if text == "." else text

    @property
    def name(self) -> str:
        """Last part of the key, or the bucket."""
        return self._key.name or urlsplit(self._bucket).netloc

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return PurePosixPath(self.name).stem

    @property
    def parent(self) -> "ObjectPath":
        """The path above; the bucket is its own."""
        return self._at(self._key.parent)

    @property
    def parents(self) -> list["ObjectPath"]:
        """All paths above, the nearest first, down to the bucket."""
        return [self._at(key) for key in self._key.parents]

    def with_name(self, name: str) -> "ObjectPath":
        """Give the path beside this one."""
        if not self.key:
            raise StoreError(f"{self} is a whole bucket: give a store in it, as {self}run.zarr")
        return self._at(self._key.with_name(name))

    def relative_to(self, other: "ObjectPath") -> PurePosixPath:
        """Give the way from a path above to this one."""
        return self._key.relative_to(other._key)

    def absolute(self) -> "ObjectPath":
        """Give this path."""
        return self

    # -- what asks the server

    def read_bytes(self) -> bytes:
        """Fetch the object.

        Raises
        ------
        FileNotFoundError
            If there is none.
        StoreUnavailableError
            If the server does not answer; so for all that follows.
        """
        with told(self):
            return bytes(obstore.get(self._client(), self.key).bytes())

    def read_text(self, encoding: str = "utf-8") -> str:
        """Fetch the object as text."""
        return self.read_bytes().decode(encoding)

    def write_bytes(self, content: bytes) -> str:
        """Put the object, whole or not at all; gives its e-tag."""
        with told(self):
            put = obstore.put(self._client(), self.key, content, use_multipart=False)
        return put["e_tag"] or ""

    def put_if(self, content: bytes, e_tag: str | None) -> str | None:
        """Put the object if it still is the one of that e-tag, or, with None, if there is none.

        Returns
        -------
        str or None
            Its new e-tag; None where it was another one by then: of somebody else, or, if an answer
            was lost, the one that was just put.
        """
        for _ in range(_PUTS - 1):
            # obstore does not repeat such a request where its answer is lost
            with suppress(StoreAwayError):
                return self._put_if(content, e_tag)
        return self._put_if(content, e_tag)

    def _put_if(self, content: bytes, e_tag: str | None) -> str | None:
        mode: Any = "create" if e_tag is None else {"e_tag": e_tag}
        with told(self):
            try:
                put = obstore.put(self._client(), self.key, content, mode=mode, use_multipart=False)
            except (AlreadyExistsError, PreconditionError, FileNotFoundError):
                return None
        return put["e_tag"] or ""

    def read_tagged(self) -> tuple[bytes, str] | None:
        """Fetch the object with its e-tag, or None where there is none."""
        try:
            with told(self):
                found = obstore.get(self._client(), self.key)
                return bytes(found.bytes()), found.meta["e_tag"] or ""
        except FileNotFoundError:
            return None

    def stat(self) -> ObjectStat:
        """Ask for size, time and e-tag.

        Raises
        ------
        FileNotFoundError
            If there is none.
        """
        with told(self):
            return _stat(obstore.head(self._client(), self.key))

    def is_file(self) -> bool:
        """Tell whether there is an object of this key."""
        try:
            self.stat()
        except FileNotFoundError:
            return False
        return True

    def is_dir(self) -> bool:
        """Tell whether there are objects below."""
        with told(self):
            stream = obstore.list(self._client(), self.key or None, chunk_size=2)
            first = next(iter(stream), [])
        return any(found["path"] != self.key for found in first)

    def exists(self) -> bool:
        """Tell whether there is an object of this key, or some below."""
        return self.is_file() or self.is_dir()

    def unlink(self, missing_ok: bool = False) -> None:
        """Take the object away; where there is none, nothing is done."""
        del missing_ok
        with told(self):
            try:
                obstore.delete(self._client(), self.key)
            except FileNotFoundError:  # S3 itself does not say so
                return

    def touch(self) -> None:
        """Put an empty object."""
        self.write_bytes(b"")

    def mkdir(self, parents: bool = False, exist_ok: bool = False) -> None:
        """Do nothing: folders come with their objects."""

    def walk(self) -> Iterator[tuple["ObjectPath", ObjectStat]]:
        """Give all objects below, with what the listing says of them."""
        with told(self):
            for chunk in obstore.list(self._client(), self.key or None, chunk_size=1000):
                for found in chunk:
                    path = self._at(PurePosixPath(found["path"]))
                    if path != self:
                        yield path, _stat(found)

    def iterdir(self) -> Iterator["ObjectPath"]:
        """Give what is right below: objects, and what objects are below."""
        folders, files = self._children()
        yield from folders
        yield from files

    def folders(self) -> list["ObjectPath"]:
        """Give what is right below and has objects below itself, or, on some servers, just had."""
        return self._children()[0]

    def glob(self, pattern: str) -> Iterator["ObjectPath"]:
        """Give the objects below that match, part by part."""
        part, _, rest = pattern.partition("/")
        if not any(sign in pattern for sign in "*?["):
            if (self / pattern).is_file():
                yield self / pattern
        elif not any(sign in part for sign in "*?["):
            yield from (self / part).glob(rest)
        elif rest:
            for folder in self.folders():
                if fnmatchcase(folder.name, part):
                    yield from folder.glob(rest)
        else:
            yield from (f for f in self._children()[1] if fnmatchcase(f.name, part))

    def rglob(self, pattern: str) -> Iterator["ObjectPath"]:
        """Give the objects anywhere below whose names match."""
        return (path for path, _ in self.walk() if fnmatchcase(path.name, pattern))

    def remove_tree(self) -> None:
        """Take away all objects below."""
        keys = [path.key for path, _ in self.walk()]
        with told(self):
            if keys:
                obstore.delete(self._client(), keys)

    def _children(self) -> tuple[list["ObjectPath"], list["ObjectPath"]]:
        with told(self):
            found = obstore.list_with_delimiter(self._client(), self.key or None)
        folders = [self._at(PurePosixPath(p)) for p in found["common_prefixes"]]
        files = [self._at(PurePosixPath(o["path"])) for o in found["objects"]]
        return folders, [f for f in files if f != self]

    def _client(self) -> Any:
        return client(self._bucket)


_patience_s = _PATIENCE_S
_reached: set[str] = set()  # buckets of which the server has answered


def be_brief() -> None:
    """Have this process, which makes blocks of a run, not wait for long; see `_BRIEF_S`."""
    global _patience_s
    _patience_s = _BRIEF_S


def client(url: str) -> Any:
    """Give obstore's client of a bucket, or of what is below a path, for this process.

    Parameters
    ----------
    url : str
        As ``s3://bucket`` or ``s3://bucket/run.zarr``.

    Raises
    ------
    StoreError
        If the environment says of it what cannot be.
    """
    return _client(url, _patience_s if _bucket_of(url) in _reached else _FIRST_S)


@lru_cache(maxsize=64)
def _client(url: str, patience_s: float) -> Any:
    options = dict(_CLIENT)
    retries = {
        "max_retries": 1000,
        "retry_timeout": timedelta(seconds=patience_s),
        "backoff": _BACK_OFF,
    }
    config: Any = {}
    if url.startswith("s3://"):
        names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
        endpoint = next((os.environ[n] for n in names if os.environ.get(n)), None)
        if endpoint is not None:
            config["endpoint"] = endpoint
            options["allow_http"] = endpoint.startswith("http://")
        if "AWS_CHECKSUM_ALGORITHM" not in os.environ:
            config["checksum_algorithm"] = "sha256"  # what was damaged on its way is refused
    make: Any = from_url
    try:
        return make(url, config=config, client_options=options, retry_config=retries)
    except (BaseError, ValueError) as error:
        raise StoreError(
            f"{url} cannot be used ({_short(error)}): check the environment, as AWS_ENDPOINT_URL "
            "and AWS_REGION"
        ) from error


@contextmanager
def told(path: object) -> Iterator[None]:
    """Say what an object store answers in words that name it, and what to do.

    Raises
    ------
    StoreUnavailableError
        If access is refused, as it is with keys that have expired, or there is no such bucket.
    StoreAwayError
        If the server does not answer.
    """
    try:
        yield
        _reached.add(_bucket_of(path))
    except FileNotFoundError:  # obstore's NotFoundError is one
        _reached.add(_bucket_of(path))
        raise
    except (AlreadyExistsError, PreconditionError):
        raise
    except BaseError as error:
        short = _short(error)
        if isinstance(error, (PermissionDeniedError, UnauthenticatedError)) or "403" in short:
            raise StoreUnavailableError(
                f"{path}: access is refused ({short}): check the credentials in the environment, "
                "as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            ) from error
        if "NoSuchBucket" in short:
            raise StoreUnavailableError(
                f"{path}: there is no such bucket: make it, or mend the URL"
            ) from error
        _reached.discard(_bucket_of(path))
        raise StoreAwayError(
            f"{path}: the object store does not answer ({short}): check the network, and its "
            "address, as AWS_ENDPOINT_URL"
        ) from error


def _bucket_of(path: object) -> str:
    return "/".join(str(path).split("/")[:3])


def _stat(meta: Any) -> ObjectStat:
    return ObjectStat(
        st_size=meta["size"],
        st_mtime=meta["last_modified"].timestamp(),
        e_tag=meta["e_tag"] or "",
    )


def _short(error: BaseException) -> str:
    """Say what obstore says in a few words: the rest is for its developers."""
    text = str(error).partition("Debug source")[0]
    status = re.search(r"status code: (\d+ [A-Za-z ]+)", text)
    code = re.search(r"<Code>(\w+)</Code>", text)
    if status is None:
        return text.partition("\n")[0].rpartition(" - ")[2].strip()
    return status[1] + (f", {code[1]}" if code else "")
