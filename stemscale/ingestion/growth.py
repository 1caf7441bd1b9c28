"""A series in a store that gets more frames, and gives them back if the input turns out bad."""

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from stemscale.acquisition import FrameColumn, ScanSettings, frame_coordinates
from stemscale.errors import StoreConflictError, StoreError
from stemscale.ingestion.joined import join_columns
from stemscale.ingestion.records import restore_records
from stemscale.ingestion.source import FrameSource
from stemscale.ingestion.tags import columns_from_tags
from stemscale.store import (
    AcquisitionStore,
    FramesArray,
    StorePath,
    commit_block,
    is_on_disk,
    read_arrays,
    remove_tree,
    write_arrays,
)

logger = logging.getLogger(__name__)

_STAGED = "coordinates_before.npz"  # in the ledger, until the growth is complete


def grow(
    store: AcquisitionStore,
    group: str,
    run: Mapping[str, Any],
    columns: Mapping[str, FrameColumn],
    source: FrameSource,
) -> FramesArray:
    """Make room for more frames: first what is to be, then the coordinates, then the array.

    Safe to be done again after it was cut short. What the source does not say of its scan is
    taken to be as in the store; new frames miss what only those before have a value of, which is
    logged.

    Parameters
    ----------
    store : AcquisitionStore
    group : str
        Path of the group of frames.
    run : mapping
        What the ledger is to say; ``base`` and ``n_frames`` count.
    columns : mapping of str to FrameColumn
        Per-frame metadata of the frames from ``base`` on.
    source : FrameSource
        The frames from ``base`` on.

    Returns
    -------
    FramesArray
        At its new length.
    """
    ledger = store.ledger(group)
    staged = ledger.folder / _STAGED
    restore_records(store, group)
    if not staged.is_file():
        _stage(staged, _columns_there(store, group))
    base, n_frames = int(run["base"]), int(run["n_frames"])
    there = store.settings(group)
    before = _unstage(staged)
    n_before = min(len(before.pop("frame").values), n_frames)
    if base:
        before, columns = _told_apart(store.attrs(group), source, before, columns, base)
        of_new = _filled(source.settings, there)
        lacking = set(before) - set(columns)
        columns = _continued(before, columns, base, n_frames - base, of_new)
        settings = there
    else:
        settings = _filled(there, source.settings)
        rest = {n: _cut(c, n_before) for n, c in before.items() if n not in columns}
        lacking = set(rest)
        columns = {**columns, **_continued(rest, {}, n_before, n_frames - n_before, settings)}
    _say_what_is_missing(store, group, columns, lacking, n_before)
    ledger.start(run)
    store.set_attrs(group, {"state": "partial"})
    frames = store.frames(group)
    frames.resize(n_frames)
    _write_columns(store, group, columns, settings, n_frames)
    return store.frames(group)


def shrink(store: AcquisitionStore, group: str, run: Mapping[str, Any]) -> None:
    """Take back what `grow` made room for: the series is as it was before.

    Parameters
    ----------
    store : AcquisitionStore
    group : str
        Path of the group of frames.
    run : mapping
        What the ledger said before.
    """
    ledger, frames = store.ledger(group), store.frames(group)
    staged = ledger.folder / _STAGED
    before = _unstage(staged)
    n_frames = len(before["frame"].values)
    last = (n_frames - 1) // frames.block
    start = last * frames.block
    ragged = frames.read(start, n_frames)
    frames.resize(n_frames)
    frames = store.frames(group)
    record = ledger.record(last)
    if record is None or not is_on_disk(frames, record):
        commit_block(frames, ledger, last, ragged, over=True)
    for index in ledger.records():
        if index > last:
            ledger.forget(index)
    columns = {n: c for n, c in before.items() if n != "frame"}
    _write_columns(store, group, columns, store.settings(group), n_frames)
    ledger.start(run)
    store.set_attrs(group, {"state": "complete"})
    staged.unlink()


def grown(store: AcquisitionStore, group: str) -> None:
    """Forget how the series was before: its growth is complete."""
    (store.ledger(group).folder / _STAGED).unlink(missing_ok=True)


def is_growing(store: AcquisitionStore, group: str) -> bool:
    """Tell whether a growth has begun that is not complete."""
    return (store.ledger(group).folder / _STAGED).is_file()


def _columns_there(store: AcquisitionStore, group: str) -> dict[str, FrameColumn]:
    found = {}
    with store.dataset(group, decode=False) as dataset:
        for name, variable in dataset.coords.items():
            if variable.dims == ("frame",):
                values = np.asarray(variable.values)
                found[str(name)] = FrameColumn.from_attrs(values, variable.attrs)
    return found


def _stage(file: StorePath, columns: Mapping[str, FrameColumn]) -> None:
    about = {n: [c.units, c.long_name, list(c.words)] for n, c in columns.items()}
    values: dict[str, Any] = {f"values/{n}": c.values for n, c in columns.items()}
    values["about"] = np.array(json.dumps(about))
    write_arrays(file, values)


def _unstage(file: StorePath) -> dict[str, FrameColumn]:
    found = read_arrays(file)
    if found is None:
        raise StoreError(f"{file} is missing: put it back from a copy, or ingest into a new store")
    about = json.loads(str(found["about"]))
    return {
        n: FrameColumn(
            values=found[f"values/{n}"], units=units, long_name=long_name, words=tuple(words)
        )
        for n, (units, long_name, words) in about.items()
    }


def _told_apart(
    attrs: Mapping[str, Any],
    source: FrameSource,
    before: Mapping[str, FrameColumn],
    columns: Mapping[str, FrameColumn],
    base: int,
) -> tuple[dict[str, FrameColumn], dict[str, FrameColumn]]:
    """Add what did not vary in either part, but differs between the two."""
    said = (
        columns_from_tags(attrs.get("original_metadata", {}), base),
        columns_from_tags(source.original_metadata, source.n_frames),
    )
    differ = {
        n
        for n in said[0].keys() & said[1].keys()
        if n in before or n in columns or said[0][n].values[0] != said[1][n].values[0]
    }
    return (
        {n: said[0][n] for n in differ} | {**before},
        {n: said[1][n] for n in differ} | {**columns},
    )


def _filled(settings: ScanSettings, others: ScanSettings) -> ScanSettings:
    """Take from others what is not known."""
    known = {**others.to_attrs(), **settings.to_attrs()}
    return ScanSettings.from_attrs(known, settings.shape)


def _cut(column: FrameColumn, n_frames: int) -> FrameColumn:
    return replace(column, values=column.values[:n_frames])


def _say_what_is_missing(
    store: AcquisitionStore,
    group: str,
    columns: Mapping[str, FrameColumn],
    lacking: Iterable[str],
    n_before: int,
) -> None:
    """Warn of quantities that the frames before have, but the new ones do not."""
    names = set(lacking)
    time = columns.get("time")
    if time is not None and np.isfinite(time.values[n_before:]).all():
        names.discard("time")  # it went on from frame to frame
    n_new = max((len(c.values) - n_before for c in columns.values()), default=0)
    if names and n_new > 0:
        logger.warning(
            "%s/%s: the %d new frames have no %s, which the frames before have: it is missing "
            "(NaN) for them",
            store.path,
            group,
            n_new,
            ", ".join(sorted(names)),
        )


def _continued(
    before: Mapping[str, FrameColumn],
    after: Mapping[str, FrameColumn],
    base: int,
    n_new: int,
    settings: ScanSettings,
) -> dict[str, FrameColumn]:
    """Put the metadata of new frames behind those there, on one clock."""
    after = dict(after)
    clocks = [c["timestamp"].values if "timestamp" in c else None for c in (before, after)]
    time = before.get("time")
    interval = settings.frame_interval_s
    if clocks[0] is not None and clocks[1] is not None and "time" in after and time is not None:
        since = (int(clocks[1][0]) - int(clocks[0][0])) / 1e9 - after["time"].values[0]
        after["time"] = replace(after["time"], values=after["time"].values + since + time.values[0])
    elif time is not None and interval is not None and n_new > 0:
        # nobody knows of a pause: none is assumed
        own = after["time"].values if "time" in after else np.arange(n_new) * interval
        after["time"] = replace(time, values=time.values[-1] + interval + own - own[0])
    names = dict.fromkeys((*before, *after))
    return {n: join_columns([before.get(n), after.get(n)], [base, n_new]) for n in names}


def _write_columns(
    store: AcquisitionStore,
    group: str,
    columns: Mapping[str, FrameColumn],
    settings: ScanSettings,
    n_frames: int,
) -> None:
    for name, column in columns.items():
        if len(column.values) != n_frames:
            raise StoreConflictError(
                f"{store.path}/{group}: {name} has {len(column.values)} values for {n_frames} "
                f"frames: give metadata for every frame of the series"
            )
    coordinates = frame_coordinates(settings, columns, n_frames)
    along = {n: c for n, c in coordinates.items() if c[0] == "frame"}
    store.set_attrs(group, {"coordinates": None})  # xarray lists them anew
    # None may stay behind at another length: the group could not be opened any more.
    for file in (store.path / group).glob("*/zarr.json"):
        dims = json.loads(file.read_text()).get("dimension_names")
        if dims == ["frame"] and file.parent.name not in along:
            remove_tree(file.parent)
    store.write_dataset(group, xr.Dataset(coords=along))
    store.frames(group).set_coordinates([n for n in along if n != "frame"])
