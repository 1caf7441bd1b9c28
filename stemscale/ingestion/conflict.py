"""Why an input cannot go into a FOV that is there already, and what to do instead."""

from stemscale.ingestion.plan import FovPlan
from stemscale.ingestion.same_pixels import same_pixels
from stemscale.store import AcquisitionStore, rapid_group, slow_group

_OTHER_NAME = "choose another name with --fov"


def describe_conflict(store: AcquisitionStore, plan: FovPlan, *, append: bool) -> str:
    """Say what differs between an input and the FOV that has its name.

    Parameters
    ----------
    store : AcquisitionStore
    plan : FovPlan
        The input; the FOV is complete and holds something else.
    append : bool
        Whether the FOV might have been given more frames.

    Returns
    -------
    str
        One line, with the way out: ``--append`` only where it will work.
    """
    group = rapid_group(plan.fov)
    there, names = store.attrs(group).get("source_files", []), [f.name for f in plan.files]
    begin = f"{store.path} has a FOV {plan.fov} already, "
    detectors = _detectors(store, plan)
    if detectors is not None and set(names) & set(there):
        before, now = detectors
        return (
            f"{begin}made from detector {before} of {', '.join(there)}, now {now} is to be read: "
            f"ingest it as another --fov"
        )
    if names == there:
        return f"{begin}made from {', '.join(there)}, but {_changed(store, plan, append)}"
    more = _OTHER_NAME
    if append:
        more = f"{_how_frames_differ(store, plan)}: {_OTHER_NAME}"
    elif detectors is None and _can_be_appended(store, plan, there, names):
        more += ", or add frames to it with --append"
    return f"{begin}made from other files ({', '.join(there)}; now {', '.join(names)}): {more}"


def _detectors(store: AcquisitionStore, plan: FovPlan) -> tuple[str, str] | None:
    """Give the detector in the store and the one given now, where they differ."""
    group = rapid_group(plan.fov)
    before, now = (store.ledger(group).run() or {}).get("detector"), plan.source.detector
    if before is None:  # a copy that came without its ledger
        before, now = store.settings(group).detector, plan.source.settings.detector or ""
    return (before, now) if before and now and before != now else None


def _changed(store: AcquisitionStore, plan: FovPlan, append: bool) -> str:
    """Say what became of the very same files, or with which option they are read now."""
    group, slow = rapid_group(plan.fov), slow_group(plan.fov)
    n_there, n_given = store.frames(group).shape[0], plan.source.n_frames
    if not _begin_alike(store, plan):
        return f"that has changed since: {_how_frames_differ(store, plan)}: {_OTHER_NAME}"
    if n_given > n_there:  # with --append it would have been added
        return f"that has grown since, from {n_there} to {n_given} frames: add them with --append"
    if n_given < n_there:
        more = f"{n_given} frames of the {n_there} that are there"
        if append:
            more += ", they do not begin with the frames that are there"
        return f"that holds less by now, {more}: {_OTHER_NAME}"
    if plan.slow is not None and (
        not store.has(slow) or store.attrs(slow).get("source_sha256") != plan.slow.sha256
    ):
        before = ", ".join(store.attrs(slow).get("source_files", [])) if store.has(slow) else "none"
        return f"with another slow scan ({before}; now {plan.slow.file}): {_OTHER_NAME}"
    return (
        f"its frames are the same, but not what is said of them: another --log, --log-offset, "
        f"--log-join or --frame-metadata was given, or the metadata in the file changed: "
        f"{_OTHER_NAME}"
    )


def _how_frames_differ(store: AcquisitionStore, plan: FovPlan) -> str:
    n_y, n_x = store.frames(rapid_group(plan.fov)).shape[1:]
    if (n_y, n_x) != plan.source.settings.shape:
        now = " x ".join(map(str, plan.source.settings.shape))
        return f"its frames are of {now} pixels, those that are there of {n_y} x {n_x}"
    return "they do not begin with the frames that are there"


def _begin_alike(store: AcquisitionStore, plan: FovPlan) -> bool:
    frames = store.frames(rapid_group(plan.fov))
    return (
        frames.shape[1:] == plan.source.settings.shape
        and frames.dtype == plan.source.dtype
        and same_pixels(plan.source, frames, base=0, blocks=range(frames.n_blocks))
    )


def _can_be_appended(
    store: AcquisitionStore, plan: FovPlan, there: list[str], names: list[str]
) -> bool:
    frames = store.frames(rapid_group(plan.fov))
    if not set(names) & set(there):
        return (frames.shape[1:], frames.dtype) == (plan.source.settings.shape, plan.source.dtype)
    longer = names[: len(there)] == there and plan.source.n_frames > frames.shape[0]
    return longer and _begin_alike(store, plan)
