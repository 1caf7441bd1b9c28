"""What a store holds, read through plain xarray and zarr, without touching a pixel."""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr

from stemscale.acquisition import positive
from stemscale.errors import StoreError
from stemscale.store import (
    DONE,
    SUMMARY,
    AcquisitionStore,
    BlockRecord,
    FlaggedFrames,
    calibration_group,
    filtered_group,
    flagged_frames,
    frame_states,
    natural_order,
    rapid_group,
    recorded_scores,
    slow_group,
    zarr_store,
)

FloatArray = npt.NDArray[np.float64]
_Records = Callable[[str], Mapping[int, BlockRecord]]

UNREADABLE = (OSError, ValueError, KeyError, RuntimeError, TypeError, IndexError)
"""What zarr and xarray raise on damaged data; a report names the part and goes on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SlowView:
    """Slow scan of a FOV."""

    shape: tuple[int, int]
    pixel_size_nm: float | None
    dwell_time_ns: float | None
    relation: str  # "same" view all along, or "after" an in-situ series
    settings: Mapping[str, Any] = field(default_factory=dict)  # all attributes, as recorded


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CalibrationView:
    """Distortion of a FOV's scan; the map itself as one line, the mean over the rows."""

    source_x: FloatArray  # (x,) column of the rapid frame [px]
    source_x_std: FloatArray | None  # (x,) [px]
    shape: tuple[int, int]  # of the corrected grid
    pixel_ratio: float  # rapid pixels per corrected pixel, nominally
    attrs: Mapping[str, Any]
    has_dcfi: bool

    @property
    def departure_px(self) -> FloatArray:
        """Columns (x,) by which the rapid frame lies off a scan without distortion [rapid px]."""
        from stemscale.distortion import nominal_source  # torch takes a second

        return self.source_x - nominal_source(self.source_x.size, self.pixel_ratio)

    @property
    def carried_over(self) -> bool:
        """Whether the map was estimated on other FOVs only (row C7)."""
        return bool(self.attrs.get("carried_over", False))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FilterView:
    """Output of one filter on one FOV."""

    name: str
    label: str  # word or file name
    state: str
    shape: tuple[int, int, int]  # (frame, y, x)
    pixel_size_nm: float | None
    trained_on: bool
    card: Mapping[str, Any] | None
    history: str
    status: npt.NDArray[np.int64]  # (frame,)
    frame_numbers: npt.NDArray[np.int64]  # (frame,) of the rapid series
    scores: Mapping[str, FloatArray]  # psnr, psnr_rapid: (frame,) [dB]
    is_average: bool = False  # one image of the whole series
    flagged: FlaggedFrames | None = None  # frames outside what the filter was trained on
    distortion: str = ""  # how it was corrected, in words

    @property
    def kind(self) -> str:
        """Tell ``dcfi``, ``none``, ``bm3d``, ``learned`` or ``other``."""
        if self.card is not None or self.label.endswith(".safetensors"):
            return "learned"
        return self.label if self.label in ("dcfi", "none", "bm3d") else "other"

    def count(self, status: int) -> int:
        """Count the frames of one status."""
        return int(np.count_nonzero(self.status == status))

    def done_scores(self, score: str) -> FloatArray:
        """Give one of the scores, of the frames that are done."""
        done: FloatArray = self.scores[score][self.status == DONE]
        return done


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FovView:
    """One field of view and all that was made of it."""

    name: str
    use: str
    shape: tuple[int, int, int]  # (frame, y, x) of the rapid frames
    dtype: str
    state: str
    pixel_size_nm: float | None
    dwell_time_ns: float | None
    flyback_time_us: float | None
    frame_interval_s: float | None
    time: FloatArray | None  # (frame,) [s]
    temperature: FloatArray | None  # (frame,) [degC]
    slow: SlowView | None
    calibration: CalibrationView | None
    filters: tuple[FilterView, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)  # all attributes, as recorded

    @property
    def trained(self) -> bool:
        """Whether any filter has seen this FOV in training."""
        return any(f.trained_on for f in self.filters)

    @property
    def slow_is_after(self) -> bool:
        """Whether the slow scan shows only the end of the series."""
        return self.slow is not None and self.slow.relation == "after"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class StoreView:
    """A store, its FOVs in natural order, and what could not be read of it."""

    store: AcquisitionStore
    history: tuple[str, ...]
    fovs: tuple[FovView, ...]
    summary: xr.Dataset | None
    problems: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.store.path.name

    def only(self, names: Sequence[str]) -> Self:
        """Leave out all FOVs but those named."""
        return replace(self, fovs=tuple(f for f in self.fovs if f.name in names))


def makes_average(attrs: Mapping[Any, Any], n_frames: int) -> bool:
    """Tell by attributes and length of filtered frames whether they are one image of all frames."""
    # one frame alone may also be the first of a series that grows
    return attrs.get("filter") == "dcfi" and attrs.get("window") is None and n_frames == 1


def longest_scored(filters: Sequence[FilterView]) -> FilterView | None:
    """Choose the longest output that has the PSNR of the rapid frames, or None without one."""
    scored = [f for f in filters if "psnr_rapid" in f.scores]
    return max(scored, key=lambda f: f.shape[0], default=None)


def read_store(
    store: str | Path | AcquisitionStore,
    *,
    only: Container[str] | None = None,
    records: Callable[[str], Mapping[int, BlockRecord]] | None = None,
) -> StoreView:
    """Read names, settings and scores of a store.

    Parameters
    ----------
    store : str, Path or AcquisitionStore
        Folder of the store, or its URL, or the store.
    only : container of str, optional
        Fields of view to read; by default all.
    records : callable, optional
        Gives the block records of a group of filtered frames that is not complete; by default they
        are all read from its ledger.

    Returns
    -------
    StoreView
        Parts that cannot be read are left out and named in ``problems``.

    Raises
    ------
    StoreError
        If there is no store of this format, or it holds no field of view.
    """
    if not isinstance(store, AcquisitionStore):
        store = AcquisitionStore(store)
    if records is None:
        records = _records_of(store)
    root = zarr.open_group(zarr_store(store.path), mode="r", use_consolidated=False)
    problems: list[str] = []
    fovs = []
    for name in sorted(root.group_keys(), key=natural_order):
        if name == SUMMARY or (only is not None and name not in only):
            continue
        try:
            fovs.append(_read_fov(store, root[name], name, records, problems))
        except UNREADABLE as error:
            problems.append(f"{name} cannot be read: {first_line(error)}")
    if not fovs:
        raise StoreError(
            f"{store.path} holds no field of view that can be read"
            f" ({'; '.join(problems) or 'it is empty'}): add one with `stemscale ingest`"
        )
    summary = _open_if_there(store, SUMMARY, root, problems)
    if summary is not None:
        summary = summary.load()
    history = str(root.attrs.get("history", "")).splitlines()
    return StoreView(
        store=store, history=tuple(history), fovs=tuple(fovs), summary=summary, problems=problems
    )


def open_group(store: AcquisitionStore, group: str) -> xr.Dataset:
    """Open a group of the store lazily, fill values as NaN, without Dask.

    Parameters
    ----------
    store : AcquisitionStore
    group : str
        Path of the group in it.

    Returns
    -------
    Dataset
        Times stay plain numbers [s].
    """
    return store.dataset(group, decode_times=False)


def first_line(error: BaseException) -> str:
    """Say in one line what went wrong."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _records_of(store: AcquisitionStore) -> _Records:
    return lambda group: store.ledger(group).records()


def _read_fov(
    store: AcquisitionStore, group: Any, name: str, records: _Records, problems: list[str]
) -> FovView:
    rapid = open_group(store, rapid_group(name))
    frames = rapid["frames"]
    n_frames, n_y, n_x = (int(n) for n in frames.shape)
    filters = []
    if "filtered" in group:
        for filter_name in sorted(group["filtered"].group_keys(), key=natural_order):
            try:
                filters.append(_read_filter(store, name, filter_name, records))
            except UNREADABLE as error:
                problems.append(f"{name}/filtered/{filter_name}: {first_line(error)}")
    slow = _open_if_there(store, slow_group(name), group, problems)
    calibration = _open_if_there(store, calibration_group(name), group, problems)
    time = _per_frame(rapid, "time")
    return FovView(
        name=name,
        use=str(group.attrs.get("use") or ""),
        shape=(n_frames, n_y, n_x),
        dtype=str(frames.encoding.get("dtype", frames.dtype)),
        state=str(rapid.attrs.get("state", "complete")),
        pixel_size_nm=positive(rapid.attrs.get("pixel_size_nm")),
        dwell_time_ns=positive(rapid.attrs.get("dwell_time_ns")),
        flyback_time_us=positive(rapid.attrs.get("flyback_time_us")),
        frame_interval_s=_interval(time) or positive(rapid.attrs.get("frame_time_s")),
        time=time,
        temperature=_per_frame(rapid, "temperature"),
        slow=None if slow is None or "image" not in slow else _slow_view(slow),
        calibration=_calibration_view(calibration, calibration_group(name), problems),
        filters=tuple(filters),
        settings=dict(rapid.attrs),
    )


def _slow_view(slow: xr.Dataset) -> SlowView:
    n_y, n_x = slow["image"].shape
    return SlowView(
        shape=(int(n_y), int(n_x)),
        pixel_size_nm=positive(slow.attrs.get("pixel_size_nm")),
        dwell_time_ns=positive(slow.attrs.get("dwell_time_ns")),
        relation=str(slow.attrs.get("relation", "same")),
        settings=dict(slow.attrs),
    )


def _calibration_view(
    found: xr.Dataset | None, where: str, problems: list[str]
) -> CalibrationView | None:
    if found is None or "source_x" not in found or "source_y" not in found:
        return None
    try:
        source_x = np.atleast_1d(found["source_x"].values.astype(np.float64))
        std = found["source_x_std"].values if "source_x_std" in found else None
        grid = np.broadcast_shapes(
            source_x.shape if source_x.ndim == 2 else (1, source_x.size),
            _as_plane(found["source_y"]),
        )
    except UNREADABLE as error:
        problems.append(f"{where}: {first_line(error)}")
        return None
    return CalibrationView(
        source_x=source_x.reshape(-1, source_x.shape[-1]).mean(axis=0),
        source_x_std=None if std is None else np.atleast_1d(std.astype(np.float64)).reshape(-1),
        shape=(grid[0], grid[1]),
        pixel_ratio=positive(found.attrs.get("pixel_ratio")) or 1.0,
        attrs=dict(found.attrs),
        has_dcfi="dcfi" in found,
    )


def _as_plane(source_y: xr.DataArray) -> tuple[int, int]:
    sizes = {str(k): int(v) for k, v in source_y.sizes.items()}
    return sizes.get("y", 1), sizes.get("x", 1)


def _read_filter(store: AcquisitionStore, fov: str, name: str, records_of: _Records) -> FilterView:
    group = filtered_group(fov, name)
    found = open_group(store, group)
    n_frames, n_y, n_x = (int(n) for n in found["frames"].shape)
    state = str(found.attrs.get("state", "complete"))
    card = found.attrs.get("filter_card")
    numbers = _per_frame(found, "frame")
    complete = state == "complete"
    records = {} if complete else records_of(group)
    stored = _per_frame(found, "frame_status")
    status = frame_states(store, group, n_frames, stored=stored, complete=complete, records=records)
    return FilterView(
        name=name,
        label=str(found.attrs.get("filter", name)),
        state=state,
        shape=(n_frames, n_y, n_x),
        pixel_size_nm=positive(found.attrs.get("pixel_size_nm")),
        trained_on=bool(found.attrs.get("trained_on", False)),
        card=dict(card) if isinstance(card, Mapping) else None,
        history=str(found.attrs.get("history", "")),
        status=status.astype(np.int64),
        frame_numbers=np.arange(n_frames) if numbers is None else numbers.astype(np.int64),
        scores={
            score: values
            for score in ("psnr", "psnr_rapid")
            if (values := _score(found, score, records)) is not None
        },
        is_average=makes_average(found.attrs, n_frames),
        flagged=flagged_frames(found),
        distortion=str(found.attrs.get("distortion", "")),
    )


def _open_if_there(
    store: AcquisitionStore, group: str, parent: Any, problems: list[str]
) -> xr.Dataset | None:
    if group.rpartition("/")[2] not in parent:
        return None
    try:
        return open_group(store, group)
    except UNREADABLE as error:
        problems.append(f"{group} cannot be read: {first_line(error)}")
        return None


def _per_frame(dataset: xr.Dataset, name: str) -> FloatArray | None:
    if name not in dataset.variables or dataset[name].dims != ("frame",):
        return None
    values: FloatArray = np.asarray(dataset[name].values, dtype=np.float64)
    return values


def _score(dataset: xr.Dataset, name: str, records: Mapping[int, BlockRecord]) -> FloatArray | None:
    """Give a score of each frame: that of its block's record, which may be newer, comes first."""
    stored = _per_frame(dataset, name)
    recorded = recorded_scores(records, name, dataset.sizes["frame"])
    if stored is None or recorded is None:
        return recorded if stored is None else stored
    return np.where(np.isnan(recorded), stored, recorded)


def _interval(time: FloatArray | None) -> float | None:
    if time is None or time.size < 2:
        return None
    return positive(float(np.median(np.diff(time))))
