"""Whole frames of a watched source into blocks of a store, beginning where it ended before."""

from collections.abc import Callable, Mapping
from typing import Any

from stemscale.acquisition import check_pixels
from stemscale.errors import InputFileError, StoreConflictError
from stemscale.ingestion.corrected import corrected_source
from stemscale.ingestion.json_values import json_values
from stemscale.ingestion.manifest import ManifestRow
from stemscale.ingestion.plan import IngestOptions
from stemscale.ingestion.records import restore_records
from stemscale.ingestion.same_pixels import same_pixels
from stemscale.ingestion.series import LONG_NAME
from stemscale.ingestion.source import FrameSource
from stemscale.ingestion.watched import Watched
from stemscale.store import (
    AcquisitionStore,
    GrowingFrames,
    NewBlock,
    blocks_on_disk,
    create_growing,
    rapid_group,
    read_json,
    write_json,
)

_AT_ONCE = 8  # blocks that are held in memory
_LEFT_OUT = "left_out.json"  # in the ledger


class Taking:
    """Blocks of one FOV, from the first that is not in the store.

    Parameters
    ----------
    store : AcquisitionStore
    row : ManifestRow
        FOV and source.
    options : IngestOptions
        How files are to be read.
    watched : Watched
        Where the frames come from.
    block : int
        Frames in a block, where the series is not there yet.
    still_mine : callable
        Raises when this run may not write any more.

    Raises
    ------
    StoreConflictError
        If the FOV was made from something else.

    Attributes
    ----------
    n_frames : int
        Frames in the store.
    n_before : int
        Frames that were there already.
    is_complete : bool
        Whether the series was complete, and nothing has been changed since.
    """

    def __init__(
        self,
        store: AcquisitionStore,
        row: ManifestRow,
        options: IngestOptions,
        watched: Watched,
        *,
        block: int,
        still_mine: Callable[[], None],
    ) -> None:
        self._store, self._row, self._options = store, row, options
        self._watched, self._still_mine = watched, still_mine
        self._group = rapid_group(row.fov)
        self._ledger = store.ledger(self._group)
        self._block = block
        self._growing: GrowingFrames | None = None
        self._room = self.n_frames = self.n_before = 0
        self.is_complete = False
        if store.has(f"{self._group}/frames"):
            self._find_what_is_there()

    @property
    def is_found(self) -> bool:
        """Whether the source has shown all frames that were in the store before."""
        return self._watched.n_frames >= max(self._room, self.n_frames)

    def about(self) -> tuple[tuple[int, int], str]:
        """Shape (n_y, n_x) and dtype of the frames; (0, 0) and nothing where there are none."""
        if not self.n_frames:
            return (0, 0), ""
        frames = self._store.frames(self._group)
        return (frames.shape[1], frames.shape[2]), str(frames.dtype)

    def take(self, *, ragged: bool) -> bool:
        """Commit some of the blocks that are full by now.

        Parameters
        ----------
        ragged : bool
            Whether to commit a last block that is not full, too.

        Returns
        -------
        bool
            Whether there were any.
        """
        blocks = self._next(ragged) if self.is_found else []
        if blocks:
            self.begin().add(blocks)
            self.n_frames = blocks[-1].index * self._block + len(blocks[-1].frames)
        return bool(blocks)

    def begin(self) -> GrowingFrames:
        """Lay out the series, or open it again; only once.

        Raises
        ------
        StoreConflictError
            If the source begins with other frames than the store.
        """
        if self._growing is not None:
            return self._growing
        source = corrected_source(self._watched.first, self._options.rapid_settings)
        if self._room:
            self._compare(source)
            self._store.set_attrs(self._group, {"state": "partial", "watched": True})
        else:
            attrs = {
                "source_files": [self._row.rapid.name],
                "state": "partial",
                "watched": True,
                "original_metadata": json_values(source.original_metadata),
            }
            create_growing(
                self._store,
                self._row.fov,
                self._group,
                source.settings,
                attrs,
                dtype=source.dtype,
                long_name=LONG_NAME,
                block=self._block,
            )
        self._ledger.start(self._run(source.detector))
        self.is_complete = False
        self._growing = GrowingFrames(
            self._store, self._group, source.settings, still_mine=self._still_mine
        )
        return self._growing

    def check_found(self) -> None:
        """Refuse a source that has not all frames that were in the store before.

        Raises
        ------
        InputFileError
            If it has fewer.
        """
        if not self.is_found:
            raise InputFileError(self.missing)

    @property
    def missing(self) -> str:
        """Say what a source lacks that has not all frames that were in the store before."""
        return (
            f"{self._row.rapid} holds {self._watched.n_frames} whole frames, but "
            f"{max(self._room, self.n_frames)} of it were taken into FOV {self._row.fov}: put "
            f"back what is missing, or watch it under another --fov"
        )

    def _next(self, ragged: bool) -> list[NewBlock]:
        n, size = self._watched.n_frames, self._block
        first = self.n_frames // size
        blocks: list[NewBlock] = []
        for index in range(first, min(first + _AT_ONCE, -(-n // size))):
            start, stop = index * size, min((index + 1) * size, n)
            if stop <= self.n_frames or (stop - start < size and not ragged):
                break
            try:
                frames = self._watched.read(start, stop)
            except OSError as error:
                raise InputFileError(
                    f"{self._row.rapid} cannot be read ({error}): see that it is there, and run "
                    f"the same command again; it goes on where it was"
                ) from error
            check_pixels(frames, source=str(self._row.rapid), first_frame=start)
            blocks.append(
                NewBlock(
                    index=index,
                    frames=frames,
                    again=start < self.n_frames,
                    arrived_ns=self._watched.arrived_ns(start, stop),
                )
            )
        return blocks

    def _find_what_is_there(self) -> None:
        attrs = self._store.attrs(self._group)
        run = self._ledger.run() or {}
        names = [f["name"] for f in run.get("files", [])] or attrs.get("source_files", [])
        if names != [self._row.rapid.name] or run.get("base", 0):
            raise StoreConflictError(
                f"{self._store.path} has a FOV {self._row.fov} already, made from "
                f"{', '.join(names)}: choose another name with --fov"
            )
        frames = self._store.frames(self._group)
        self._block, self._room = frames.block, frames.shape[0]
        self.is_complete = attrs.get("state") == "complete"
        records = (
            restore_records(self._store, self._group)
            if self.is_complete
            else self._ledger.records()
        )
        there = blocks_on_disk(frames, records)
        n_blocks = next((i for i in range(frames.n_blocks) if i not in there), frames.n_blocks)
        self.n_frames = self.n_before = min(n_blocks * frames.block, self._room)

    def _compare(self, source: FrameSource) -> None:
        """Compare the first and the last block there with what the source has by now."""
        frames = self._store.frames(self._group)
        if (frames.shape[1:], frames.dtype) != (source.settings.shape, source.dtype):
            what = f"frames of {source.settings.shape} {source.dtype}"
        else:
            last = (self.n_frames - 1) // frames.block
            blocks = {0, last} if self.n_frames else set()
            if same_pixels(self._watched, frames, base=0, blocks=blocks):
                return
            what = "other frames"
        raise StoreConflictError(
            f"{self._store.path}: FOV {self._row.fov} was begun from {self._row.rapid}, which "
            f"holds {what} by now: choose another name with --fov"
        )

    def _run(self, detector: str) -> dict[str, Any]:
        # Sizes and times change all the while: they are put in at the end.
        name = self._row.rapid.name
        return {
            "files": [{"name": name, "size": 0, "changed_ns": 0}],
            "detector": detector,
            "base": 0,
            "n_frames": 0,
            "watched": True,
        }


def left_out_before(store: AcquisitionStore, fov: str) -> dict[str, str]:
    """Give the files that an earlier watch of a FOV left out, and why."""
    group = rapid_group(fov)
    file = store.ledger(group).folder / _LEFT_OUT
    if not store.has(f"{group}/frames"):  # no frame is in yet: each has its chance again
        file.unlink(missing_ok=True)
        return {}
    return dict((read_json(file) or {}).get("files", {}))


def keep_left_out(store: AcquisitionStore, fov: str, files: Mapping[str, str]) -> None:
    """Remember which files are left out, before any frame behind them is taken."""
    write_json(store.ledger(rapid_group(fov)).folder / _LEFT_OUT, {"files": dict(files)})
