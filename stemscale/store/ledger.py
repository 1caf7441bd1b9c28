"""What is already written: one record per block beside the store, committed after its pixels.

STORE.zarr.stemscale/<group>/run.json            what is being made, with its fingerprint
                             lease.json          who is making it
                             failed.json         blocks that were given up, and why
                             blocks/<block>.json one per block on disk; the commit point
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from stemscale.errors import StoreError
from stemscale.store.files import (
    StorePath,
    file_times,
    read_json,
    read_many,
    remove_tree,
    write_json,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockRecord:
    """One block that is on disk, whole.

    Attributes
    ----------
    block : int
        Number of the block.
    start, stop : int
        Its frames: from ``start`` up to, not including, ``stop``.
    size : int
        Bytes of its shard.
    crc32 : int
        CRC-32 of its shard.
    mtime_ns : int
        When its shard was written, by the file system [ns since 1970]; 0: not known.
    e_tag : str
        What an object store calls that state of its shard; empty on a file system.
    input_crc32 : list of int
        CRC-32 of the shards that it was made from.
    input_frames : int
        Length of the series that it was made from; 0: as long as this one.
    epoch : int
        Of the lease under which it was made; 0: of none.
    status : list of int
        Per frame, as in `FRAME_STATUS`.
    scores : mapping of str to list
        Per-frame results, by name of the variable that they become.
    counts : mapping of str to int
        Pixels clipped, pixels masked and the like.
    seconds : mapping of str to float
        Time spent, by step.
    host : str
        Where it was made.
    arrived_ns : list of int
        Per frame, when its file had all of it, where that was watched [ns since 1970].
    """

    block: int
    start: int
    stop: int
    size: int
    crc32: int
    mtime_ns: int = 0
    e_tag: str = ""
    input_crc32: list[int] = field(default_factory=list)
    input_frames: int = 0
    epoch: int = 0
    status: list[int] = field(default_factory=list)
    scores: Mapping[str, list[Any]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    host: str = ""
    arrived_ns: list[int] = field(default_factory=list)


FRAME_STATUS = {"pending": 0, "done": 1, "failed": 2, "damaged_input": 3}
"""What ``frame_status`` says of a frame."""

PENDING, DONE, FAILED, DAMAGED = FRAME_STATUS.values()


class Ledger:
    """Records of one array of frames.

    Parameters
    ----------
    root : Path or ObjectPath
        The store.
    group : str
        Path of the group that holds the frames.

    Examples
    --------
    A block counts as written once it is recorded, and no longer when its record is taken back:

    >>> from pathlib import Path
    >>> from stemscale.store import BlockRecord, Ledger
    >>> ledger = Ledger(Path("my.zarr"), "fov01/filtered/mine")
    >>> ledger.commit(BlockRecord(block=3, start=96, stop=128, size=4096, crc32=0))
    >>> ledger.record(3).start, ledger.count()
    (96, 1)
    >>> ledger.forget(3)
    >>> ledger.record(3) is None
    True
    """

    def __init__(self, root: StorePath, group: str) -> None:
        self.folder = ledger_root(root) / group

    @property
    def run_file(self) -> StorePath:
        """File that says what is being made."""
        return self.folder / "run.json"

    @property
    def distortion_file(self) -> StorePath:
        """Where the map lies that the run corrects frames by."""
        return self.folder / "distortion.npz"

    @property
    def lease_file(self) -> StorePath:
        """File that says who is making it."""
        return self.folder / "lease.json"

    def run(self) -> dict[str, Any] | None:
        """Read what is being made, or None where nothing ever was."""
        return read_json(self.run_file)

    def start(self, run: Mapping[str, Any]) -> None:
        """Say what is being made, before the first block."""
        self._blocks.mkdir(parents=True, exist_ok=True)
        write_json(self.run_file, run)

    def failures(self) -> dict[int, str]:
        """Read which blocks were given up, and why."""
        return {int(block): str(why) for block, why in (read_json(self._failed) or {}).items()}

    def keep_failures(self, failures: Mapping[int, str]) -> None:
        """Say which blocks were given up, in place of what was said before."""
        if failures:
            write_json(self._failed, {str(block): why for block, why in failures.items()})
        else:
            self._failed.unlink(missing_ok=True)

    def clear(self) -> None:
        """Forget everything but who holds the lease."""
        self.run_file.unlink(missing_ok=True)
        self._failed.unlink(missing_ok=True)
        remove_tree(self._blocks)

    def commit(self, record: BlockRecord) -> None:
        """Record a block whose pixels are safely on disk."""
        file = self._record_file(record.block)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, asdict(record))

    def forget(self, block: int) -> None:
        """Take a record back: the block counts as not written."""
        self._record_file(block).unlink(missing_ok=True)

    def record(self, block: int) -> BlockRecord | None:
        """Read the record of one block, or None where there is none."""
        found = read_json(self._record_file(block))
        return None if found is None else _record_from(found, self._record_file(block))

    def count(self) -> int:
        """Count the blocks that are recorded."""
        return len(file_times(self._blocks))

    def commit_times(self) -> dict[int, float]:
        """Give when each block was recorded, by its number [s since 1970]."""
        found = file_times(self._blocks)
        return {int(name.partition(".")[0]): when for name, when in sorted(found.items())}

    def commit_time(self, block: int) -> float | None:
        """Give when a block was recorded [s since 1970], or None where it is not."""
        try:
            return float(self._record_file(block).stat().st_mtime)
        except FileNotFoundError:
            return None

    def records(self) -> dict[int, BlockRecord]:
        """Read all records, by number of the block."""
        files = [self._blocks / name for name in sorted(file_times(self._blocks))]
        found = (
            _record_from(r, f)
            for f, r in zip(files, read_many(files), strict=True)
            if r is not None
        )
        return {r.block: r for r in found}

    @property
    def _blocks(self) -> StorePath:
        return self.folder / "blocks"

    @property
    def _failed(self) -> StorePath:
        return self.folder / "failed.json"

    def _record_file(self, block: int) -> StorePath:
        return self._blocks / f"{block:08d}.json"


def ledger_root(root: StorePath) -> StorePath:
    """Folder of all ledgers: beside the store, since a foreign folder inside makes opens warn."""
    return root.with_name(root.name + ".stemscale")


def compaction_journal(root: StorePath, fov: str) -> StorePath:
    """File that says that larger blocks of a FOV are all staged, and are being put in place."""
    return ledger_root(root) / fov / "compact.json"


def _record_from(found: dict[str, Any], file: StorePath) -> BlockRecord:
    try:
        return BlockRecord(**found)
    except TypeError as error:
        known = ", ".join(f.name for f in fields(BlockRecord))
        raise StoreError(
            f"{file} is not a block record of this version ({error}; it has {known}): "
            f"delete that file to have the block made again"
        ) from error
