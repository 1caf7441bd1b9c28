"""Blocks of a few frames, as a live store has them, made into blocks of the usual size.

All that is new of a field of view is staged beside its ledgers, checked as it is read and written;
then a journal says that it is whole, and only then are folders put in each other's place. Killed
before the journal is there, the store is as it was; killed after, the same call goes on with it.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stemscale.errors import DamagedDataError, SettingsError, StoreConflictError, StoreError
from stemscale.pipeline.events import FramesCompacted, Listener, no_listener
from stemscale.pipeline.filters import FilterChoice
from stemscale.pipeline.run_record import fingerprinted
from stemscale.pipeline.standing import Output, RawBlocks, records_of_copy
from stemscale.store import (
    AcquisitionStore,
    BlockRecord,
    FramesArray,
    Ledger,
    StorePath,
    block_checksums,
    block_count,
    commit_block,
    compaction_journal,
    filtered_group,
    frames_per_block,
    fsync_folder,
    hold_lease,
    is_on_disk,
    ledger_root,
    rapid_group,
    read_json,
    read_node,
    remove_tree,
    write_block_checksums,
    write_json,
)

_STAGE = "compacting"


@dataclass(frozen=True, kw_only=True, slots=True)
class CompactedSeries:
    """What became of one series of frames.

    Attributes
    ----------
    group : str
        "fov01/rapid", "fov01/filtered/live".
    block_before, block : int
        Frames in a block; the same where nothing was to be done.
    files_before, files : int
        Shards and records.
    bytes_before, bytes : int
        Of them [byte].
    left : str
        Why it was left as it was; empty where it was not.
    """

    group: str
    block_before: int
    block: int
    files_before: int
    files: int
    bytes_before: int
    bytes: int
    left: str = ""


def compact(
    store: str | Path,
    *,
    fovs: Sequence[str] = (),
    name: str | None = None,
    block: int | None = None,
    listener: Listener = no_listener,
) -> list[CompactedSeries]:
    """Make larger blocks of small ones; frames, scores and all that is known of them stay.

    Every shard is compared with its checksum as it is read. For one field of view after the other,
    there has to be room for what is made larger once more. A call that was killed is finished by
    the same call.

    Parameters
    ----------
    store : str or Path
        Folder of the store.
    fovs : sequence of str
        By default all.
    name : str, optional
        Only what was filtered under this name, or "rapid"; by default all series.
    block : int, optional
        Frames in a block; by default what `frames_per_block` chooses.
    listener : callable
        Told of frames written.

    Returns
    -------
    list of CompactedSeries

    Raises
    ------
    StoreConflictError
        If a series is being written.
    DamagedDataError
        If a shard is not what was written: run `stemscale verify`. The store is as it was.
    StoreError
        If rapid frames are not complete, the store is no folder, or it cannot be read or written.
    SettingsError
        If the block is below 1.

    Examples
    --------
    A series that came frame by frame, as a live one may:

    >>> import numpy as np
    >>> import stemscale
    >>> np.save("fov03.npy", np.arange(96, dtype=np.uint16).reshape(3, 4, 8))
    >>> _ = stemscale.ingest("live.zarr", "fov03.npy", block=1)
    >>> (series,) = stemscale.compact("live.zarr")
    >>> series.group, series.block_before, series.block
    ('fov03/rapid', 1, 4)
    """
    target = AcquisitionStore(store)
    if not isinstance(target.path, Path):
        raise StoreError(
            f"{target.path}: blocks are put together in a folder only: copy the store, compact "
            f"the copy, and copy it back"
        )
    if block is not None and block < 1:
        raise SettingsError(f"--block is {block}, but must be at least 1")
    done: list[CompactedSeries] = []
    for fov in target.require_fovs(list(fovs), even_compacting=True):
        try:
            done += _compact_fov(target, fov, name, block, listener)
        except OSError as error:
            raise StoreError(
                f"{target.path}: {fov} cannot be compacted ({error}): nothing is lost; make room "
                f"for its frames once more, or mend it, and run the same command again"
            ) from error
    if name is not None and not done:
        raise StoreError(f"{target.path} has no frames of the name {name}: see `stemscale info`")
    target.consolidate()
    return done


def _compact_fov(
    store: AcquisitionStore, fov: str, name: str | None, block: int | None, listener: Listener
) -> list[CompactedSeries]:
    groups = [rapid_group(fov), *(filtered_group(fov, n) for n in store.filters(fov))]
    with ExitStack() as stack:
        for group in groups:  # nobody may write, nor begin to read what is about to change place
            file = store.ledger(group).lease_file
            stack.enter_context(
                hold_lease(file, what=f"{store.path}/{group}", about={"verb": "compact"})
            )
        journal = compaction_journal(store.path, fov)
        if journal.is_file():
            _swap(store, fov)
        if store.attrs(rapid_group(fov)).get("state") != "complete":
            raise StoreError(
                f"{store.path}: {fov} was not ingested to its end: finish that, then compact it"
            )
        wanted = [g for g in groups if name is None or g.rpartition("/")[2] == name]
        series = [_Series(store, fov, group, block) for group in groups]
        before = {s.group: _size(store, s.group) for s in series}
        chosen = [s for s in series if s.group in wanted and s.is_smaller and not s.left]
        for one in series:
            if one not in chosen:
                remove_tree(one.stage.folder)  # of a call that was killed
        if chosen:
            total = sum(s.array.shape[0] for s in chosen)
            for one in chosen:

                def tell(frames: int, group: str = one.group) -> None:
                    listener(
                        FramesCompacted(fov=fov, group=group, frames=frames, frames_in_all=total)
                    )

                one.stage_frames(tell)
            raw = series[0]
            for one in series:
                one.stage_records(raw, reblocked=one in chosen)
            begun = {filtered_group(fov, n) for n in store.filters(fov)} - set(groups)
            if begun:
                raise StoreConflictError(
                    f"{store.path}: {', '.join(sorted(begun))} was begun meanwhile: wait for it, "
                    f"and run the same command again"
                )
            write_json(journal, {s.group: s.journal(s in chosen) for s in series})
            _swap(store, fov)
        return [_told(store, s, before[s.group], s in chosen) for s in series if s.group in wanted]


class _Series:
    """One series of frames: as it is, and as it is staged."""

    def __init__(self, store: AcquisitionStore, fov: str, group: str, block: int | None) -> None:
        self.group, self._store, self.fov = group, store, fov
        self.array = store.frames(group)
        n_frames = self.array.shape[0]
        self.usual = frames_per_block(*self.array.shape)
        if block is not None:
            self.usual = min(block, 1 << max(0, n_frames - 1).bit_length())
        self.is_raw = group == rapid_group(fov)
        self.run = store.ledger(group).run() or store.attrs(group).get("run")
        self.records = _records(store, group, is_raw=self.is_raw)
        self.stage = Ledger(store.path, f"{group}/{_STAGE}")
        self.staged_array: FramesArray | None = None

    @property
    def is_smaller(self) -> bool:
        """Whether its blocks are smaller than they should be."""
        return self.array.block < self.usual

    @property
    def left(self) -> str:
        """Why its blocks stay as they are, or nothing."""
        if self._store.attrs(self.group).get("state") != "complete":
            return "not complete: finish it first"
        if any(i not in self.records for i in range(self.array.n_blocks)):
            return "not all of its blocks are on record: run `stemscale verify`"
        return ""

    @property
    def n_blocks(self) -> int:
        """Blocks of the usual size."""
        return block_count(self.array.shape[0], self.usual)

    def stage_frames(self, tell: Callable[[int], None]) -> None:
        """Write the frames in larger blocks beside the ledger, with their records."""
        array = self._begin()
        expected = {i: (r.size, r.crc32) for i, r in self.records.items()}
        for index in range(self.n_blocks):
            start, stop = array.bounds(index)
            made_of = [self.records[i].crc32 for i in self._pieces(start, stop)]
            there = self.stage.record(index)
            if there is None or there.input_crc32 != made_of or not is_on_disk(array, there):
                try:
                    frames, _ = self.array.read_checked(start, stop, expected)
                except DamagedDataError as error:
                    raise DamagedDataError(
                        f"{self._store.path}/{self.group}: {error}: nothing was changed; run "
                        f"`stemscale verify`, and mend what it names"
                    ) from error
                pieces = [self.records[i] for i in self._pieces(start, stop)]
                commit_block(
                    array, self.stage, index, frames, input_crc32=made_of, **_joined(pieces)
                )
            tell(stop - start)

    def stage_records(self, raw: "_Series", *, reblocked: bool) -> None:
        """Write records of the blocks as they will be; they name raw blocks as those will be."""
        output = self._output()
        if self.is_raw and reblocked:
            for record in self.stage.records().values():
                self.stage.commit(replace(record, input_crc32=[]))
        if output is None:
            return
        before = RawBlocks(self._store, output)
        now = raw.crcs_staged()
        records = self.stage.records() if reblocked else self.records
        for record in records.values():
            pieces = [record]
            if reblocked:
                pieces = [self.records[i] for i in self._pieces(record.start, record.stop)]
            known = [p for p in pieces if p.input_crc32]
            if any(before.has_changed(p) for p in known) or len(known) < len(pieces):
                crcs: list[int] = [-1] if known and len(known) == len(pieces) else []
                frames = record.input_frames
            else:
                grown = [p.input_frames for p in pieces if before.has_grown(p)]
                frames = min(grown, default=raw.array.shape[0])
                start, end = 0, frames
                if not output.whole_series:
                    start = max(0, record.start - output.halo)
                    end = min(frames, record.stop + output.halo)
                usual = raw.staged_block
                crcs = [now[i] for i in range(start // usual, (end - 1) // usual + 1)]
            self.stage.commit(replace(record, input_crc32=crcs, input_frames=frames))

    def crcs_staged(self) -> dict[int, int]:
        """CRC-32 of its blocks as they will be."""
        records = self.records if self.staged_array is None else self.stage.records()
        return {i: r.crc32 for i, r in records.items()}

    @property
    def staged_block(self) -> int:
        """Frames in a block as they will be."""
        return self.array.block if self.staged_array is None else self.usual

    def journal(self, reblocked: bool) -> dict[str, Any]:
        """Say what is to be put in place."""
        run = self.run
        if reblocked and run is not None and "fingerprint" in run and not self.is_raw:
            run = fingerprinted({**run, "block": self.usual})
        return {"reblocked": reblocked, "run": run if not self.is_raw else None}

    def _begin(self) -> FramesArray:
        node = read_node(self._store.path, f"{self.group}/frames")
        assert node is not None
        shape = node["chunk_grid"]["configuration"]["chunk_shape"]
        node["chunk_grid"]["configuration"]["chunk_shape"] = [self.usual, *shape[1:]]
        remove_tree(self.stage.folder / "old")  # of a call that was killed when all was in place
        file = self.stage.folder / "frames" / "zarr.json"
        if file.is_file() and read_json(file) != node:  # of another block, or another length
            remove_tree(self.stage.folder)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, node)
        root = ledger_root(self._store.path)
        self.staged_array = FramesArray(root, f"{self.group}/{_STAGE}")
        return self.staged_array

    def _pieces(self, start: int, stop: int) -> range:
        return range(start // self.array.block, (stop - 1) // self.array.block + 1)

    def _output(self) -> Output | None:
        if self.run is None or "filter" not in self.run:
            return None
        return Output(
            fov=self.fov,
            group=self.group,
            run=self.run,
            n_frames=self._store.frames(rapid_group(self.fov)).shape[0],
            block=self.array.block,
            halo=FilterChoice.from_run(self.run["filter"]).halo,
        )


def _records(store: AcquisitionStore, group: str, *, is_raw: bool) -> dict[int, BlockRecord]:
    """Give the records of a series, also of one that came without its ledger."""
    records = store.ledger(group).records()
    if records:
        return records
    if not is_raw:
        return records_of_copy(store, group)
    frames = store.frames(group)
    found = {}
    for index, (size, crc32) in block_checksums(store, group).items():
        start, stop = frames.bounds(index)
        found[index] = BlockRecord(block=index, start=start, stop=stop, size=size, crc32=crc32)
    return found


def _joined(pieces: Sequence[BlockRecord]) -> dict[str, Any]:
    """Say of a block what was said of those that it is made of."""
    names = dict.fromkeys(n for p in pieces for n in p.scores)
    joined: dict[str, Any] = {
        "status": [s for p in pieces for s in p.status],
        "scores": {n: [v for p in pieces for v in p.scores.get(n, _nothing(p))] for n in names},
        "arrived_ns": [ns for p in pieces for ns in p.arrived_ns],
        "epoch": max(p.epoch for p in pieces),
    }
    for what in ("counts", "seconds"):
        sums: dict[str, Any] = {}
        for piece in pieces:
            for key, value in getattr(piece, what).items():
                sums[key] = sums.get(key, 0) + value
        joined[what] = sums
    return joined


def _nothing(piece: BlockRecord) -> list[None]:
    return [None] * (piece.stop - piece.start)


def _swap(store: AcquisitionStore, fov: str) -> None:
    """Put what is staged in place; every step may be done twice."""
    journal = compaction_journal(store.path, fov)
    for group, said in (read_json(journal) or {}).items():
        ledger, stage = store.ledger(group), store.ledger(f"{group}/{_STAGE}").folder
        if said["reblocked"]:
            store.mark(group)
            _put(stage / "frames", store.path / group / "frames", stage / "old" / "frames")
        _put(stage / "blocks", ledger.folder / "blocks", stage / "old" / "blocks")
        if said["reblocked"]:
            write_block_checksums(store, group, ledger.records())
            if said["run"] is not None:
                if ledger.run() is not None:  # of a copy, `process` makes the ledger anew
                    ledger.start(said["run"])
                fingerprint = said["run"]["fingerprint"]
                store.set_attrs(group, {"run": said["run"], "fingerprint": fingerprint})
    store.consolidate()
    groups = list(read_json(journal) or {})
    journal.unlink()
    for group in groups:
        remove_tree(store.ledger(f"{group}/{_STAGE}").folder)


def _put(new: StorePath, place: StorePath, old: StorePath) -> None:
    """Put a folder in the place of another one, if it is not there already."""
    assert isinstance(new, Path)
    assert isinstance(place, Path)
    assert isinstance(old, Path)
    if not new.is_dir():
        return
    if place.is_dir():
        old.parent.mkdir(parents=True, exist_ok=True)
        place.rename(old)
    new.rename(place)
    for folder in {new.parent, place.parent, old.parent}:
        if folder.is_dir():
            fsync_folder(folder)


def _size(store: AcquisitionStore, group: str) -> tuple[int, int]:
    """Count files of a series, and their bytes: shards and records."""
    folders = (store.path / group / "frames", store.ledger(group).folder / "blocks")
    sizes = [f.stat().st_size for d in folders for f in d.rglob("*") if f.is_file()]
    return len(sizes), sum(sizes)


def _told(
    store: AcquisitionStore, series: _Series, before: tuple[int, int], reblocked: bool
) -> CompactedSeries:
    after = _size(store, series.group)
    return CompactedSeries(
        group=series.group,
        block_before=series.array.block,
        block=series.usual if reblocked else series.array.block,
        files_before=before[0],
        files=after[0],
        bytes_before=before[1],
        bytes=after[1],
        left=series.left if series.is_smaller and not reblocked else "",
    )
