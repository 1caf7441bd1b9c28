"""A series that gets longer while others read it.

Every step leaves a store that others can open, in this order: the pixels of new frames; the values
of their coordinates, far ahead; the lengths, of coordinates and then of frames, one right after the
other; the records. A reader that opens the group between two lengths, which takes a fraction of
a millisecond, finds them at odds: it has to open it again. What a step costs does not depend on the
length of the series.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
import zarr
import zarr.storage

from stemscale.acquisition import Frames, ScanSettings, frame_coordinates
from stemscale.store.acquisition_store import AcquisitionStore
from stemscale.store.arrays import NAME, at_length, codecs
from stemscale.store.commit import write_block
from stemscale.store.files import remove_tree
from stemscale.store.frames import FramesArray
from stemscale.store.grow_nodes import CHUNK, node_of, set_lengths, write_ahead
from stemscale.store.metadata import FILE

_THREADS = 3  # while one block waits for the disk, another is packed


@dataclass(frozen=True, kw_only=True, slots=True)
class NewBlock:
    """A block to be added.

    Attributes
    ----------
    index : int
        Its number.
    frames : ndarray, shape (frames of the block, y, x)
        In the array's dtype; fewer than a block only where the series ends for now.
    again : bool
        Whether it is recorded with fewer frames, the same that it begins with.
    arrived_ns : list of int
        Of each frame, as in `BlockRecord`.
    """

    index: int
    frames: Frames
    again: bool
    arrived_ns: list[int]


class GrowingFrames:
    """The frames of a group that gets longer.

    Its coordinates along ``frame`` are those that can be counted: ``frame``, and ``time`` where
    the scan settings tell it.

    Parameters
    ----------
    store : AcquisitionStore
    group : str
        Path of the group; its frames are there.
    settings : ScanSettings
        Of the frames.
    still_mine : callable
        Raises when this run may not write any more.

    Examples
    --------
    Two frames are added to a series that had none; whoever opens the store then finds them:

    >>> import numpy as np
    >>> from stemscale.acquisition import ScanSettings
    >>> from stemscale.store import AcquisitionStore, GrowingFrames, NewBlock, create_growing
    >>> store = AcquisitionStore.create("growing.zarr")
    >>> scan = ScanSettings(n_x=8, n_y=8, dwell_time_ns=100)
    >>> about = {"dtype": np.dtype("uint16"), "long_name": "rapid frames", "block": 4}
    >>> create_growing(store, "fov01", "fov01/rapid", scan, {}, **about)
    >>> series = GrowingFrames(store, "fov01/rapid", scan)
    >>> frames = np.arange(128, dtype=np.uint16).reshape(2, 8, 8)
    >>> series.add([NewBlock(index=0, frames=frames, again=False, arrived_ns=[])])
    >>> np.array_equal(store.frames("fov01/rapid").read(0, 2), frames)
    True
    """

    def __init__(
        self,
        store: AcquisitionStore,
        group: str,
        settings: ScanSettings,
        *,
        still_mine: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._group = store, group
        self._ledger = store.ledger(group)
        self._still_mine = still_mine
        self._frames = store.frames(group)
        self._settings = settings
        self._lay_coordinates()
        names = [*self._coordinates, NAME]
        paths = [f"{group}/{name}" for name in names]
        self._nodes = {path: node_of(store, path) for path in paths}
        self._ahead = -(-self.length // CHUNK) * CHUNK

    @property
    def length(self) -> int:
        """Frames that the group has room for."""
        return self._frames.shape[0]

    @property
    def frames(self) -> FramesArray:
        """As they are by now."""
        return self._frames

    def add(self, blocks: Sequence[NewBlock]) -> None:
        """Add blocks behind those there, or write the last one again with more frames.

        Parameters
        ----------
        blocks : sequence of NewBlock
            One after the other.
        """
        block = self._frames.block
        length = max(self.length, *(b.index * block + len(b.frames) for b in blocks))
        longer = self._frames.at_length(length)

        def write(new: NewBlock) -> Any:
            return write_block(
                longer,
                self._ledger,
                new.index,
                new.frames,
                still_mine=self._still_mine,
                over=new.again,
                arrived_ns=new.arrived_ns,
            )

        if len(blocks) == 1:
            records = [write(blocks[0])]
        else:
            with ThreadPoolExecutor(_THREADS) as pool:
                records = list(pool.map(write, blocks))
        self._still_mine()
        self._lengthen(length)
        self._frames = longer
        for record in records:
            self._ledger.commit(record)

    def _lengthen(self, length: int) -> None:
        if length == self.length:
            return
        while self._ahead < length:
            for name, (_, values, _) in _along(self._settings, self._ahead + CHUNK).items():
                write_ahead(self._store, f"{self._group}/{name}", values, since=self._ahead)
            self._ahead += CHUNK
        set_lengths(self._store, self._nodes, length)

    def _lay_coordinates(self) -> None:
        """Have the coordinates that can be counted, and no other variable along the series."""
        wanted = _along(self._settings, self.length)
        self._coordinates = list(wanted)
        folder = self._store.path / self._group
        found: dict[str, dict[str, Any]] = {}
        for file in folder.glob(f"*/{FILE}"):
            found[file.parent.name] = json.loads(file.read_bytes())
        along = {n for n, node in found.items() if node.get("dimension_names") == ["frame"]}
        if along == set(wanted) and all(_is_counted(found[n], self.length) for n in wanted):
            return
        for name, node in found.items():
            if name not in (NAME, "y", "x") and node.get("dimension_names") != []:
                remove_tree(folder / name)
        self._store.set_attrs(self._group, {"coordinates": None})
        group = self._store.group(self._group)
        for name, (_, values, attrs) in wanted.items():
            array = group.create_array(
                name,
                shape=values.shape,
                chunks=(CHUNK,),
                dtype=values.dtype,
                compressors=codecs(),
                fill_value=0,
                dimension_names=("frame",),
                attributes=attrs,
                config={"write_empty_chunks": True},
            )
            whole = -(-len(values) // CHUNK) * CHUNK
            at_length(array, whole)[:] = _along(self._settings, whole)[name][1]
        self._frames.set_coordinates([n for n in wanted if n != "frame"])


def create_growing(
    store: AcquisitionStore,
    fov: str,
    group: str,
    settings: ScanSettings,
    attrs: Mapping[str, Any],
    *,
    dtype: np.dtype[Any],
    long_name: str,
    block: int,
) -> None:
    """Lay out a series of no frames yet; see `AcquisitionStore.create_frames`."""
    coordinates = frame_coordinates(settings, {}, 0)
    still = {n: c for n, c in coordinates.items() if c[0] != "frame"}
    store.create_frames(
        fov,
        group,
        xr.Dataset(coords=still, attrs=attrs),
        settings,
        n_frames=0,
        dtype=dtype,
        with_fill=False,
        long_name=long_name,
        block=block,
    )


def get_ready() -> None:
    """Import what the first block would wait for: what xarray needs to write takes a second."""
    small = xr.Dataset({"any": ("any", np.zeros(1))})
    small.to_zarr(zarr.storage.MemoryStore(), zarr_format=3, consolidated=False)


def _along(settings: ScanSettings, n_frames: int) -> dict[str, Any]:
    coordinates = frame_coordinates(settings, {}, n_frames)
    return {n: c for n, c in coordinates.items() if c[0] == "frame"}


def _is_counted(node: Mapping[str, Any], length: int) -> bool:
    chunks = node["chunk_grid"]["configuration"]["chunk_shape"]
    return bool(node["shape"] == [length] and chunks == [CHUNK])
