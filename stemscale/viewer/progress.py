"""Which frames of a group are there by now, and their scores, before its verb has finished."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stemscale.store import DONE, PENDING, AcquisitionStore

FloatArray = npt.NDArray[np.float64]
SCORES = ("psnr", "psnr_rapid", "out_of_range_flag")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Known:
    """What the records of a group's blocks say of its frames.

    Attributes
    ----------
    status : ndarray of int, shape (frame,)
        As in `FRAME_STATUS`.
    scores : dict of str to ndarray, shape (frame,)
        NaN where a frame has none.
    """

    status: npt.NDArray[np.int64]
    scores: dict[str, FloatArray]


class Progress:
    """The records of one group, each read once.

    Parameters
    ----------
    store : AcquisitionStore
    group : str
        Path of a group of frames.
    """

    def __init__(self, store: AcquisitionStore, group: str) -> None:
        self._ledger = store.ledger(group)
        self._records: dict[int, Any] = {}
        self._times: dict[int, float] = {}

    def look(self, n_frames: int) -> Known | None:
        """Read the records that are new since the last look.

        Parameters
        ----------
        n_frames : int
            Frames that the group has room for.

        Returns
        -------
        Known or None
            None where there is no ledger, as beside a copied store: nothing is known then.
        """
        times = self._ledger.commit_times()
        if not times and self._ledger.run() is None:
            return None
        for block, when in times.items():
            if self._times.get(block) != when:
                record = self._ledger.record(block)
                if record is not None:
                    self._records[block], self._times[block] = record, when
        for block in set(self._records) - set(times):  # taken back: to be written anew
            del self._records[block], self._times[block]
        return self._known(n_frames)

    def _known(self, n_frames: int) -> Known:
        status = np.full(n_frames, PENDING, dtype=np.int64)
        scores: dict[str, FloatArray] = {}
        for record in self._records.values():
            where = slice(record.start, min(record.stop, n_frames))
            count = max(0, where.stop - where.start)
            status[where] = record.status[:count] or DONE  # raw blocks have no status of their own
            for name in SCORES:
                if name in record.scores:
                    values = scores.setdefault(name, np.full(n_frames, np.nan))
                    found = [np.nan if v is None else float(v) for v in record.scores[name]]
                    values[where] = found[:count]
        return Known(status=status, scores=scores)
