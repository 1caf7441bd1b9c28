"""A checked series comes in and becomes groups of a Zarr v3 store, recorded block by block."""

from stemscale.acquisition import natural_order
from stemscale.store.acquisition_store import AcquisitionStore
from stemscale.store.arrays import as_seen, fill_value
from stemscale.store.commit import blocks_on_disk, commit_block, is_on_disk
from stemscale.store.files import (
    StorePath,
    checksum,
    folder_sizes,
    fsync_folder,
    read_arrays,
    read_json,
    remove_tree,
    store_path,
    write_arrays,
    write_bytes,
    write_json,
    zarr_store,
)
from stemscale.store.filtered_growth import lengthen, make_growable
from stemscale.store.finish import FrameVariable, finish_frames, write_block_checksums
from stemscale.store.flags import (
    OUT_OF_RANGE,
    OUT_OF_RANGE_FLAG,
    FlaggedFrames,
    flagged_frames,
    listed_frames,
)
from stemscale.store.frame_states import RecordReader, frame_states, recorded_scores
from stemscale.store.frames import FramesArray
from stemscale.store.layout import (
    FORMAT,
    SUMMARY,
    block_bounds,
    block_count,
    calibration_group,
    filtered_group,
    frames_per_block,
    rapid_group,
    slow_group,
)
from stemscale.store.lease import check_epoch, current_epoch, hold_lease, lease_holder, was_left
from stemscale.store.ledger import (
    DAMAGED,
    DONE,
    FAILED,
    FRAME_STATUS,
    PENDING,
    BlockRecord,
    Ledger,
    compaction_journal,
    ledger_root,
)
from stemscale.store.metadata import read_node
from stemscale.store.ngff import multiscales
from stemscale.store.object_path import ObjectPath, be_brief
from stemscale.store.raw_growth import GrowingFrames, NewBlock, create_growing, get_ready
from stemscale.store.verify import (
    Contents,
    Damage,
    array_damage,
    block_checksums,
    damaged_blocks,
    find_contents,
    find_damage,
    slow_damage,
)

__all__ = [
    "DAMAGED",
    "DONE",
    "FAILED",
    "FORMAT",
    "FRAME_STATUS",
    "OUT_OF_RANGE",
    "OUT_OF_RANGE_FLAG",
    "PENDING",
    "SUMMARY",
    "AcquisitionStore",
    "BlockRecord",
    "Contents",
    "Damage",
    "FlaggedFrames",
    "FrameVariable",
    "FramesArray",
    "GrowingFrames",
    "Ledger",
    "NewBlock",
    "ObjectPath",
    "RecordReader",
    "StorePath",
    "array_damage",
    "as_seen",
    "be_brief",
    "block_bounds",
    "block_checksums",
    "block_count",
    "blocks_on_disk",
    "calibration_group",
    "check_epoch",
    "checksum",
    "commit_block",
    "compaction_journal",
    "create_growing",
    "current_epoch",
    "damaged_blocks",
    "fill_value",
    "filtered_group",
    "find_contents",
    "find_damage",
    "finish_frames",
    "flagged_frames",
    "folder_sizes",
    "frame_states",
    "frames_per_block",
    "fsync_folder",
    "get_ready",
    "hold_lease",
    "is_on_disk",
    "lease_holder",
    "ledger_root",
    "lengthen",
    "listed_frames",
    "make_growable",
    "multiscales",
    "natural_order",
    "rapid_group",
    "read_arrays",
    "read_json",
    "read_node",
    "recorded_scores",
    "remove_tree",
    "slow_damage",
    "slow_group",
    "store_path",
    "was_left",
    "write_arrays",
    "write_block_checksums",
    "write_bytes",
    "write_json",
    "zarr_store",
]
