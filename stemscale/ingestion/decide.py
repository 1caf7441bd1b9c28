"""What is to be done for one FOV, given what the store holds of it already."""

from dataclasses import dataclass
from typing import Any

from stemscale.acquisition import same_setting
from stemscale.errors import StoreConflictError
from stemscale.ingestion.conflict import describe_conflict
from stemscale.ingestion.files import SourceFile
from stemscale.ingestion.plan import FovPlan
from stemscale.ingestion.same_pixels import same_pixels
from stemscale.store import (
    AcquisitionStore,
    damaged_blocks,
    is_on_disk,
    rapid_group,
    slow_damage,
    slow_group,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Todo:
    """What to do for one FOV.

    Attributes
    ----------
    plan : FovPlan
        Its input.
    what : {"write", "resume", "grow", "mend", "skip"}
        Write it anew; go on with an ingest that was cut short; add frames; write again what is
        damaged of it; nothing.
    base : int
        Frame of the store at which the input begins; 0 but for files that continue a series.
    damaged : tuple of int
        Blocks to be mended.
    """

    plan: FovPlan
    what: str
    base: int = 0
    damaged: tuple[int, ...] = ()

    @property
    def n_frames(self) -> int:
        """Frames of the series, when done."""
        return self.base + self.plan.source.n_frames

    @property
    def is_new(self) -> bool:
        """Whether nothing of the FOV was complete before."""
        return self.what in ("write", "resume")

    def run(self) -> dict[str, Any]:
        """Give what the ledger says of the ingest."""
        return {
            "files": [SourceFile.of(f).to_json() for f in self.plan.files],
            "detector": self.plan.source.detector,
            "base": self.base,
            "n_frames": self.n_frames,
        }


def decide(store: AcquisitionStore, plan: FovPlan, *, append: bool) -> Todo:
    """Compare the input with what is in the store.

    Parameters
    ----------
    store : AcquisitionStore
    plan : FovPlan
        One FOV.
    append : bool
        Whether a series may be given more frames.

    Returns
    -------
    Todo

    Raises
    ------
    StoreConflictError
        If the FOV holds other data.
    """
    group = rapid_group(plan.fov)
    if not store.has(f"{group}/frames") or store.ledger(group).run() is None:
        if store.has(group) and store.attrs(group).get("state") == "complete":
            return _complete(store, plan, append)
        return Todo(plan=plan, what="write")
    if store.attrs(group).get("state") != "complete":
        return _cut_short(store, plan)
    return _complete(store, plan, append)


def _cut_short(store: AcquisitionStore, plan: FovPlan) -> Todo:
    group = rapid_group(plan.fov)
    run, frames = store.ledger(group).run() or {}, store.frames(group)
    todo = Todo(plan=plan, what="resume", base=int(run.get("base", 0)))
    if "source_sha256" in store.attrs(group):  # it was complete once
        todo = Todo(plan=plan, what="grow", base=todo.base)
    before = [f["name"] for f in run.get("files", [])]
    names = [f.name for f in plan.files]
    if names[: len(before)] != before or run.get("detector") != plan.source.detector:
        raise StoreConflictError(
            f"{store.path}: the ingest of {', '.join(before)} as FOV {plan.fov} was cut short: "
            f"run that command again to finish it, or choose another name with --fov"
        )
    _check_settings(store, plan)
    if run == todo.run():  # size and time of change of every file as they were
        return todo
    records = {i: r for i, r in store.ledger(group).records().items() if is_on_disk(frames, r)}
    if frames.shape[1:] != plan.source.settings.shape or not same_pixels(
        plan.source, frames, base=todo.base, blocks=records
    ):
        raise StoreConflictError(
            f"{store.path}: FOV {plan.fov} was begun from {', '.join(before)}, which holds other "
            f"frames by now: choose another name with --fov"
        )
    return todo


def _complete(store: AcquisitionStore, plan: FovPlan, append: bool) -> Todo:
    group = rapid_group(plan.fov)
    there, names = store.attrs(group).get("source_files", []), [f.name for f in plan.files]
    n_there, n_given = store.frames(group).shape[0], plan.source.n_frames
    if is_same(store, plan):
        _check_settings(store, plan)
        damaged = tuple(damaged_blocks(store, group))
        if damaged or (plan.slow is not None and slow_damage(store, plan.fov) is not None):
            return Todo(plan=plan, what="mend", damaged=damaged)
        return Todo(plan=plan, what="skip")
    if append and there[-len(names) :] == names and n_given < n_there:
        base = n_there - n_given
        if _same_from(store, plan, base):  # the part that was appended last
            _check_settings(store, plan)
            return Todo(plan=plan, what="skip", base=base)
    if append and store.frames(group).shape[1:] == plan.source.settings.shape:
        if names[: len(there)] == there and n_given > n_there and _same_from(store, plan, 0):
            _check_settings(store, plan)
            return Todo(plan=plan, what="grow")
        if not set(names) & set(there):
            _check_settings(store, plan)
            _check_alike(store, plan)
            return Todo(plan=plan, what="grow", base=n_there)
    raise StoreConflictError(describe_conflict(store, plan, append=append))


def is_same(store: AcquisitionStore, plan: FovPlan) -> bool:
    """Tell whether a complete FOV was made from just this input."""
    group, slow = rapid_group(plan.fov), slow_group(plan.fov)
    attrs = store.attrs(group)
    if plan.slow is not None and (
        not store.has(slow) or store.attrs(slow).get("source_sha256") != plan.slow.sha256
    ):
        return False
    if attrs.get("source_sha256") == plan.sha256():
        return True
    # A series that was appended to has another history, but may hold the very same frames.
    names = [f.name for f in plan.files]
    return (
        attrs.get("appended") is True
        and attrs.get("source_files") == names
        and store.frames(group).shape[0] == plan.source.n_frames
        and _same_from(store, plan, 0)
    )


def _same_from(store: AcquisitionStore, plan: FovPlan, base: int) -> bool:
    group = rapid_group(plan.fov)
    frames = store.frames(group)
    return frames.shape[1:] == plan.source.settings.shape and same_pixels(
        plan.source, frames, base=base, blocks=range(frames.n_blocks)
    )


def _check_alike(store: AcquisitionStore, plan: FovPlan) -> None:
    group = rapid_group(plan.fov)
    dtype = store.frames(group).dtype
    if dtype != plan.source.dtype:
        raise StoreConflictError(
            f"{plan.source.name} holds {plan.source.dtype}, but FOV {plan.fov} {dtype}: ingest "
            f"it as a FOV of its own"
        )
    there, given = store.settings(group), plan.source.settings
    for name in ("pixel_size_nm", "dwell_time_ns", "flyback_time_us"):
        before, now = getattr(there, name), getattr(given, name)
        if None not in (before, now) and not same_setting(before, now):
            raise StoreConflictError(
                f"{plan.source.name} was scanned with {name} {now}, but FOV {plan.fov} with "
                f"{before}: ingest it as a FOV of its own, or give "
                f"{name} {before} if the file errs"
            )


def _check_settings(store: AcquisitionStore, plan: FovPlan) -> None:
    """Refuse to pass over settings that are given now and were not then."""
    there = store.settings(rapid_group(plan.fov))
    for name, value in plan.options.rapid_settings.items():
        if value is not None and getattr(there, name) != value:
            before = f"with {name} {getattr(there, name)}"
            if getattr(there, name) is None:
                before = f"without {name}"
            raise StoreConflictError(
                f"{store.path}: FOV {plan.fov} was made {before}, now it is to be {value}: leave "
                f"that option out, or ingest under another --fov"
            )
