"""What became of each frame of a group, also in mid-run or after its verb was killed."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stemscale.store.acquisition_store import AcquisitionStore
from stemscale.store.ledger import DONE, FAILED, PENDING, BlockRecord, Ledger


def frame_states(
    store: AcquisitionStore,
    group: str,
    n_frames: int,
    *,
    stored: NDArray[np.number] | None,
    complete: bool = False,
    records: Mapping[int, BlockRecord] | None = None,
) -> NDArray[np.uint8]:
    """Say of each frame what became of it, as in `FRAME_STATUS`.

    Parameters
    ----------
    store : AcquisitionStore
    group : str
        Path of a group of frames.
    n_frames : int
        Its length.
    stored : ndarray or None
        Its ``frame_status``, which is written at the end of a run: None before.
    complete : bool
        Whether the group says that all is there; otherwise its ledger knows more.
    records : mapping of int to BlockRecord, optional
        Of the ledger, where they are read already.

    Returns
    -------
    ndarray of uint8, shape (n_frames,)
    """
    states = np.full(n_frames, DONE if complete else PENDING, dtype=np.uint8)
    if stored is not None:
        states[: stored.size] = stored[:n_frames]
    if complete:
        return states
    ledger = store.ledger(group)
    if records is None:
        records = ledger.records()
    for record in records.values():
        part = states[record.start : record.stop]
        part[:] = (record.status or [DONE] * part.size)[: part.size]
    if given_up := ledger.failures().keys() - records.keys():
        frames = store.frames(group)
        for block in given_up:
            part = states[slice(*frames.bounds(block))]
            part[part != DONE] = FAILED
    return states


def recorded_scores(
    records: Mapping[int, BlockRecord], name: str, n_frames: int
) -> NDArray[np.float64] | None:
    """Gather one number of each frame from the records of blocks.

    Parameters
    ----------
    records : mapping of int to BlockRecord
    name : str
        Of the score.
    n_frames : int
        Length of the group.

    Returns
    -------
    ndarray of float64, shape (n_frames,), or None
        NaN where a frame has none; None where no record has it.
    """
    known = [r for r in records.values() if name in r.scores]
    if not known:
        return None
    values = np.full(n_frames, np.nan)
    for record in known:
        part = values[record.start : record.stop]
        found = record.scores[name][: part.size]
        part[:] = [np.nan if value is None else value for value in found]
    return values


class RecordReader:
    """The records of one group, each read once, for who looks again and again.

    Parameters
    ----------
    ledger : Ledger
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._records: dict[int, BlockRecord] = {}
        self._times: dict[int, float] = {}

    def look(self) -> Mapping[int, BlockRecord]:
        """Read the records that are new since the last look, and give all of them."""
        times = self._ledger.commit_times()
        for block, when in times.items():
            if self._times.get(block) != when:
                record = self._ledger.record(block)
                if record is not None:
                    self._records[block], self._times[block] = record, when
        for block in set(self._records) - set(times):  # taken back: to be written anew
            del self._records[block], self._times[block]
        return self._records
