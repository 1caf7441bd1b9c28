"""The store as all tabs share it: its series, brought up to date as they grow."""

import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stemscale.corrections import Correction, find_correction
from stemscale.errors import StemscaleError, StoreError
from stemscale.store import (
    DONE,
    OUT_OF_RANGE_FLAG,
    AcquisitionStore,
    BlockRecord,
    RecordReader,
    StorePath,
    filtered_group,
    frame_states,
    rapid_group,
    recorded_scores,
)
from stemscale.viewer.reading import FovReader, ImageCache
from stemscale.viewer.series import Series
from stemscale.viewer.stamps import Stamp, fov_stamp
from stemscale.views.store_view import UNREADABLE, FilterView, FovView, open_group, read_store


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Opened:
    """A series, and what reads its images."""

    series: Series
    reader: FovReader
    stamp: Stamp
    identity: Stamp


class Library:
    """A store that is looked at; threads may share it.

    Parameters
    ----------
    path : str or Path
        Folder of the store, or its URL.

    Raises
    ------
    StoreError
        If there is no store, or it holds no field of view.
    """

    def __init__(self, path: str | StorePath) -> None:
        self.store = AcquisitionStore(path)
        self._opened: dict[str, Opened] = {}
        self._readers: dict[str, RecordReader] = {}
        self._lock = threading.RLock()
        self.fovs()

    @property
    def name(self) -> str:
        """Last part of the store's path."""
        return self.store.path.name

    def fovs(self) -> list[str]:
        """Names of the fields of view by now.

        Raises
        ------
        StoreError
            If there is none.
        """
        return self.store.require_fovs([], even_compacting=True)

    def opened(self, fov: str) -> Opened:
        """Give a field of view as it was found last; read it if it never was.

        Raises
        ------
        StoreError
            If it cannot be read.
        """
        with self._lock:
            return self._opened.get(fov) or self._open(fov, fov_stamp(self.store, fov))

    def refresh(self, fov: str) -> Opened:
        """Look whether a field of view has changed, and read it again only then.

        Returns
        -------
        Opened
            The one known before where nothing has changed, or while it cannot be read, as
            within the moment in which a series grows.
        """
        with self._lock:
            before = self.opened(fov)
            stamp = fov_stamp(self.store, fov)
            if stamp == before.stamp:
                return before
            try:
                return self._open(fov, stamp)
            except StemscaleError:
                return before

    def _open(self, fov: str, stamp: Stamp) -> Opened:
        view = read_store(self.store, only={fov}, records=self._records)
        before = self._opened.get(fov)
        if before is not None and view.problems:  # just being written: once more at the next look
            raise StoreError(f"{self.store.path}: {view.problems[0]}")
        correction = self._correction(fov)
        series = self._series(view.fovs[0], correction)
        identity = self._identity(series.fov, correction)
        if before is None or before.identity != identity:
            reader = FovReader(self.store, fov, ImageCache(), correction)
        else:
            reader = before.reader
        found = Opened(series=series, reader=reader, stamp=stamp, identity=identity)
        self._opened[fov] = found
        return found

    def _correction(self, fov: str) -> Correction | None:
        with suppress(StemscaleError, *UNREADABLE):  # frames as recorded can be shown all the same
            return find_correction(self.store, fov)
        return None

    def _series(self, fov: FovView, correction: Correction | None) -> Series:
        flags = {f.name: self._flags(fov.name, f) for f in fov.filters}
        return Series(
            fov=fov,
            recorded=self._recorded(fov),
            flags={name: f for name, f in flags.items() if f is not None},
            corrected_grid=None if correction is None else correction.shape,
            pixel_ratio=1.0 if correction is None else correction.pixel_ratio,
        )

    def _recorded(self, fov: FovView) -> npt.NDArray[np.bool_]:
        group, n_frames = rapid_group(fov.name), fov.shape[0]
        if fov.state == "complete":
            return np.ones(n_frames, dtype=bool)
        records = self._records(group)
        if not records and self.store.ledger(group).run() is None:  # as beside a copied store
            return np.ones(n_frames, dtype=bool)
        states = frame_states(self.store, group, n_frames, stored=None, records=records)
        return np.asarray(states == DONE)

    def _flags(self, fov: str, found: FilterView) -> npt.NDArray[np.bool_] | None:
        group = filtered_group(fov, found.name)
        if found.state != "complete":
            known = recorded_scores(self._records(group), OUT_OF_RANGE_FLAG, found.shape[0])
            if known is not None:
                return np.nan_to_num(known) > 0
        if found.flagged is None:
            return None
        with open_group(self.store, group) as dataset:
            return np.asarray(np.nan_to_num(dataset[OUT_OF_RANGE_FLAG].values)) > 0

    def _records(self, group: str) -> Mapping[int, BlockRecord]:
        if group not in self._readers:
            self._readers[group] = RecordReader(self.store.ledger(group))
        return self._readers[group].look()

    def _identity(self, fov: FovView, correction: Correction | None) -> Stamp:
        """Gather what may not change while frames that were read stay good."""
        how = None if correction is None else (correction.group, correction.run)
        made = []
        for found in fov.filters:
            attrs = self.store.attrs(filtered_group(fov.name, found.name))
            made.append((found.name, attrs.get("fingerprint"), found.shape[1:]))
        return (fov.shape[1:], how, *made)
