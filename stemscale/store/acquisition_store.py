"""A store on disk: one Zarr v3 hierarchy that plain xarray opens as a DataTree."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.errors import ContainsGroupError

from stemscale.acquisition import Frames, Image, ScanSettings, natural_order
from stemscale.errors import StoreError, StoreUnavailableError
from stemscale.store.arrays import codecs, create_frames
from stemscale.store.files import (
    StorePath,
    drop_torn_arrays,
    remove_tree,
    store_path,
    write_json,
    zarr_store,
)
from stemscale.store.frames import FramesArray
from stemscale.store.layout import CONVENTIONS, FORMAT, SUMMARY, rapid_group
from stemscale.store.ledger import Ledger, compaction_journal, ledger_root
from stemscale.store.marks import drop_marks, mark_group, marked_groups, marks_of
from stemscale.store.metadata import (
    CHECKSUM,
    FILE,
    read_node,
    record_nodes,
)
from stemscale.store.ngff import multiscales
from stemscale.store.object_path import ObjectPath
from stemscale.store.patiently import opened_patiently


class AcquisitionStore:
    """An acquisition: FOVs with their frames, slow scans, calibrations and filtered frames.

    Parameters
    ----------
    path : str, Path or ObjectPath
        Folder of the store, or its URL, as ``s3://bucket/run.zarr``.

    Raises
    ------
    StoreError
        If there is no store of this format.
    StoreUnavailableError
        If its server does not answer.

    Examples
    --------
    A series of frames, as ingest makes it, and back:

    >>> import numpy as np
    >>> import stemscale
    >>> from stemscale.store import AcquisitionStore
    >>> np.save("fov02.npy", np.arange(96, dtype=np.uint16).reshape(3, 4, 8))
    >>> _ = stemscale.ingest("small.zarr", "fov02.npy", fov="fov02")
    >>> store = AcquisitionStore("small.zarr")
    >>> store.fovs(), store.frames("fov02/rapid").shape
    (['fov02'], (3, 4, 8))
    >>> store.frames("fov02/rapid").read(1, 3)[:, 0, 0].tolist()  # frames 1 and 2
    [32, 64]
    """

    def __init__(self, path: str | StorePath) -> None:
        self.path = store_path(path)
        if not self.path.is_dir():
            what = "is a file" if self.path.exists() else "does not exist"
            raise StoreError(
                f"{self.path} {what}, needed is the folder of a store: check the path, or make "
                f"one with `stemscale ingest`"
            )
        if inside := _store_around(self.path):
            raise StoreError(f"{self.path} is a part of the store {inside}: give that")
        if not (self.path / "zarr.json").is_file():
            raise StoreError(
                f"{self.path} is not a stemscale store, for it has no zarr.json: make one with "
                f"`stemscale ingest`, or put that file back from a copy"
            )
        found = self.attrs("").get("stemscale_format")
        if found != FORMAT:
            raise StoreError(
                f"{self.path} has stemscale format {found!r}, but this version reads {FORMAT!r}: "
                f"use the version that wrote it, or ingest the files into a new store"
            )

    @classmethod
    def create(cls, path: str | StorePath) -> "AcquisitionStore":
        """Open a store, making it if there is none.

        Raises
        ------
        StoreError
            If something else lies there.
        """
        path = store_path(path)
        if inside := _store_around(path):
            raise StoreError(f"{path} lies inside the store {inside}: choose a path outside")
        try:
            if path.exists() and not (path / "zarr.json").is_file() and any(path.iterdir()):
                raise StoreError(f"{path} exists and is not a stemscale store: choose another path")
            if not (path / "zarr.json").is_file():
                attributes = {"Conventions": CONVENTIONS, "stemscale_format": FORMAT, "history": ""}
                zarr.create_group(zarr_store(path), zarr_format=3, attributes=attributes)
        except OSError as error:
            raise StoreError(
                f"no store can be made at {path} ({error}): choose another path"
            ) from error
        return cls(path)

    def fovs(self) -> list[str]:
        """Names of the FOVs, in natural order."""
        names = {f.parent.parent.name for f in self.path.glob("*/rapid/zarr.json")}
        return sorted(names - {SUMMARY}, key=natural_order)  # which has groups named after FOVs

    def require_fovs(
        self, names: tuple[str, ...] | list[str], *, even_compacting: bool = False
    ) -> list[str]:
        """Give the FOVs asked for, or all.

        Raises
        ------
        StoreError
            If one is not there, or there is none at all; or, unless ``even_compacting``, if one was
            being compacted when that was killed.
        """
        there = self.fovs()
        if not there:
            raise StoreError(f"{self.path} holds no field of view: add one with `stemscale ingest`")
        missing = [n for n in names if n not in there]
        if missing:
            raise StoreError(
                f"{self.path} has no FOV {', '.join(missing)}: it has {', '.join(there)}"
            )
        found = [n for n in there if not names or n in names]
        for fov in () if even_compacting else found:
            self.require_whole(fov)
        return found

    def require_whole(self, fov: str) -> None:
        """Refuse a FOV that is being compacted.

        Raises
        ------
        StoreError
            If it is, or was when that was killed.
        """
        if compaction_journal(self.path, fov).is_file():
            raise StoreError(
                f"{self.path}: {fov} is being compacted, or that was cut short: `stemscale "
                f"compact {self.path}` finishes it"
            )

    def filters(self, fov: str) -> list[str]:
        """Names of what a FOV has been filtered with, in natural order."""
        found = self.path.glob(f"{fov}/filtered/*/frames/zarr.json")
        return sorted((f.parent.parent.name for f in found), key=natural_order)

    def has(self, group: str) -> bool:
        """Tell whether a group exists."""
        return (self.path / group / "zarr.json").is_file()

    def group(self, path: str) -> zarr.Group:
        """Open a group for writing, making it and its parents if needed.

        It is a root of its own: Zarr reads all groups above one that it writes into, and the root
        of the store has the metadata of all others on record, megabytes of JSON.
        """
        parts = path.split("/")
        for n in range(1, len(parts) + 1):
            if not self.has("/".join(parts[:n])):
                with suppress(ContainsGroupError):  # another run was quicker
                    zarr.create_group(zarr_store(self.path / "/".join(parts[:n])), zarr_format=3)
        return zarr.open_group(
            zarr_store(self.path / path), mode="r+", zarr_format=3, use_consolidated=False
        )

    def attrs(self, group: str) -> dict[str, Any]:
        """Read the attributes of a group.

        Raises
        ------
        StoreError
            If there is no such group, or its zarr.json is damaged.
        """
        found = read_node(self.path, group)
        if found is None:
            raise StoreError(f"{self.path} has nothing at /{group}")
        return dict(found["attributes"])

    def set_attrs(self, group: str, attrs: Mapping[str, Any]) -> None:
        """Add or change attributes of a group; None takes one away."""
        self.mark(group)
        node = read_node(self.path, group)
        if node is None:
            raise StoreError(f"{self.path} has nothing at /{group}")
        # The checksum of the root no longer is right; what it has on record of the others stays.
        merged = {**node["attributes"], **attrs, CHECKSUM: None}
        node["attributes"] = {k: v for k, v in merged.items() if v is not None}
        write_json(self.path / group / FILE, node)

    def dataset(self, group: str, *, decode: bool = True, decode_times: bool = True) -> xr.Dataset:
        """Open a group lazily, as plain xarray sees it, without Dask.

        Parameters
        ----------
        group : str
            Path of the group.
        decode : bool
            Whether times become dates and fill values NaN; without, as they are stored, and
            without indexes.
        decode_times : bool
            Without, times stay numbers also where the rest is decoded.

        Raises
        ------
        StoreError
            If there is no such group.
        """
        if not self.has(group):
            raise StoreError(f"{self.path} has nothing at {group}")
        found = self._open_dataset(group, decode, decode and decode_times)
        if not decode:  # which variables are coordinates is not a matter of values
            named = " ".join(str(v.attrs.get("coordinates", "")) for v in found.variables.values())
            named += " " + str(found.attrs.get("coordinates", ""))
            found = found.set_coords([n for n in named.split() if n in found.variables])
        return found

    def _open_dataset(self, group: str, decode: bool, decode_times: bool) -> xr.Dataset:
        def open_once() -> xr.Dataset:
            found: xr.Dataset = xr.open_zarr(
                zarr_store(self.path),
                group=group,
                consolidated=False,
                chunks=None,
                decode_cf=decode,
                decode_times=decode_times,
                create_default_indexes=decode,  # xarray imports Dask and pint for them
            )
            return found

        def grows() -> bool:
            return self.attrs(group).get("state") == "partial"

        return opened_patiently(open_once, give_up=lambda: not grows())

    def frames(self, group: str) -> FramesArray:
        """Open the frames of a group as a row of blocks."""
        return FramesArray(self.path, group)

    def array(self, path: str) -> zarr.Array[Any]:
        """Open an array for reading, by its path."""
        return zarr.open_array(zarr_store(self.path), path=path, mode="r", zarr_format=3)

    def settings(self, group: str) -> ScanSettings:
        """Read the scan settings of the images of a group."""
        name = "image" if (self.path / group / "image").is_dir() else "frames"
        shape = self.array(f"{group}/{name}").shape
        return ScanSettings.from_attrs(self.attrs(group), (shape[-2], shape[-1]))

    def ledger(self, group: str) -> Ledger:
        """Open the ledger of a group's frames."""
        return Ledger(self.path, group)

    def write_dataset(
        self,
        group: str,
        dataset: xr.Dataset,
        *,
        replace: bool = False,
        chunk: int | None = None,
    ) -> None:
        """Write small variables (all but frames) into a group.

        Parameters
        ----------
        group : str
            Path of the group; made if needed.
        dataset : Dataset
            Variables, coordinates and attributes, in memory.
        replace : bool
            Whether to take away first what the group held.
        chunk : int, optional
            Values along the first dimension in a chunk, for what is to grow; by default all.
        """
        self.mark(group)
        if replace:
            remove_tree(self.path / group)
        elif self.has(group):
            there = self.attrs(group)
            if set(dataset.coords) - set(dataset.dims):  # xarray names them itself
                there.pop("coordinates", None)
            dataset = dataset.assign_attrs({**there, **dataset.attrs})
            for name in dataset.variables:  # xarray refuses to change how one is stored
                remove_tree(self.path / group / str(name))
            drop_torn_arrays(self.path / group)
        self.group(group)
        # One chunk each: they are written by one process and read whole. A chunk that holds only
        # fill values is written too, so that one that is not there is missing.
        encoding = {
            str(n): {
                "compressors": codecs(),
                **({"chunks": (chunk or v.shape[0], *v.shape[1:])} if v.ndim else {}),
            }
            for n, v in dataset.variables.items()
        }
        dataset.to_zarr(
            zarr_store(self.path / group),
            mode="a",
            consolidated=False,
            zarr_format=3,
            encoding=encoding,
            write_empty_chunks=True,
        )

    def create_frames(
        self,
        fov: str,
        group: str,
        dataset: xr.Dataset,
        settings: ScanSettings,
        *,
        n_frames: int,
        dtype: np.dtype[Any],
        with_fill: bool,
        long_name: str,
        block: int,
    ) -> FramesArray:
        """Lay out a group of frames: coordinates and attributes first, then an empty array.

        Parameters
        ----------
        fov : str
            For the name that viewers show.
        group : str
            Path of the group; what it held is taken away.
        dataset : Dataset
            Coordinates, per-frame variables and attributes.
        settings : ScanSettings
            Of these frames.
        n_frames : int
            Length of the series.
        dtype : dtype
            Of one pixel.
        with_fill : bool
            Whether pixels may be missing.
        long_name : str
            CF long name of the frames.
        block : int
            Frames in a shard.

        Returns
        -------
        FramesArray
        """
        self.ledger(group).clear()
        ome = multiscales("frames", settings, name=f"{fov} {long_name}", series=True)
        attrs = {**dataset.attrs, **settings.to_attrs(), "ome": ome}
        self.write_dataset(group, dataset.assign_attrs(attrs), replace=True)
        create_frames(
            self.group(group),
            (n_frames, settings.n_y, settings.n_x),
            dtype,
            block=block,
            coordinates=[str(n) for n, c in dataset.coords.items() if n not in dataset.dims],
            with_fill=with_fill,
            long_name=long_name,
        )
        return self.frames(group)

    def write_image(self, group: str, name: str, image: Image, attrs: Mapping[str, Any]) -> None:
        """Write one image (y, x) as an array of one chunk, checksummed.

        Parameters
        ----------
        group : str
            Path of the group; must exist.
        name : str
            Of the array.
        image : ndarray, shape (y, x)
            Values as they are to be kept.
        attrs : mapping
            ``units`` and ``long_name``.
        """
        self.mark(group)
        image = np.ascontiguousarray(image, dtype=image.dtype.newbyteorder("<"))
        array = self.group(group).create_array(
            name,
            shape=image.shape,
            dtype=image.dtype,
            chunks=image.shape,
            compressors=codecs(),
            fill_value=0,
            dimension_names=("y", "x"),
            attributes=dict(attrs),
            overwrite=True,
            config={"write_empty_chunks": True},
        )
        array[:] = image

    def slow_image(self, fov: str) -> Image | None:
        """Read the slow scan of a FOV, or None where there is none."""
        image = f"{fov}/slow/image"
        return np.asarray(self.array(image)[:]) if self.has(image) else None

    def first_frames(self, fov: str, count: int = 64) -> Frames:
        """Read the first frames of a FOV."""
        frames = self.frames(rapid_group(fov))
        return frames.read(0, min(count, frames.shape[0]))

    def delete(self, group: str) -> None:
        """Take away a group and its ledger."""
        remove_tree(self.path / group)
        remove_tree(self.ledger(group).folder)
        drop_marks(self.path, group)

    def destroy(self) -> None:
        """Take away the whole store and its ledgers."""
        remove_tree(self.path)
        remove_tree(ledger_root(self.path))

    def add_history(self, command: str) -> None:
        """Add a line to the history of the store: when, which version, what."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        line = f"{now} stemscale {version('stemscale')}: {' '.join(command.split())}"
        before = self.attrs("").get("history", "")
        self.set_attrs("", {"history": f"{before}\n{line}".strip()})

    def consolidate(self) -> None:
        """Put the metadata of all groups and arrays on record in the root.

        So xarray opens the store without a warning, and `stemscale verify` knows how all should be.
        """
        marks = list(marks_of(self.path))
        record_nodes(self.path)
        for mark in marks:
            mark.unlink(missing_ok=True)

    def is_consolidated(self) -> bool:
        """Tell whether nothing was changed, nor begun to be, since `consolidate`."""
        return CHECKSUM in self.attrs("") and not any(marks_of(self.path))

    def changing(self) -> set[str]:
        """Paths of the groups that a verb has begun to change and has not put on record."""
        return marked_groups(self.path)

    def mark(self, group: str) -> None:
        """Note that a group is being changed, until the next `consolidate`."""
        if group:  # of the root, its own zarr.json tells
            mark_group(self.path, group)


def _store_around(path: StorePath) -> StorePath | None:
    """Find the store that a path lies inside of."""
    if isinstance(path, ObjectPath):
        with suppress(StoreUnavailableError):  # as where a user may not look above
            return next((p for p in path.parents if (p / "zarr.json").is_file()), None)
        return None
    return next((p for p in path.absolute().parents if (p / "zarr.json").is_file()), None)
