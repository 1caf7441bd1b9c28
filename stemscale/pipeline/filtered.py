"""The group that filtered frames go to: laid out, made longer, finished."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stemscale.acquisition import image_coordinates
from stemscale.corrections import keep_distortion, keep_drift, load_drift, shift_variables
from stemscale.denoising import RESPECTS
from stemscale.pipeline.filters import FilterChoice
from stemscale.pipeline.ledger_files import keep_parameters
from stemscale.pipeline.plan import SeriesPlan
from stemscale.pipeline.standing import earlier_run, restore_ledger
from stemscale.store import (
    OUT_OF_RANGE,
    OUT_OF_RANGE_FLAG,
    AcquisitionStore,
    FrameVariable,
    finish_frames,
    rapid_group,
)

_BANDS = (("band", 3),)
_RANGE_VARIABLES = {
    OUT_OF_RANGE: FrameVariable(
        attrs={
            "units": "1",
            "long_name": "how far the rapid frame lies outside what the filter was trained on, in "
            "tolerances: 0 inside, 1 or more clearly outside; the largest of all respects",
        },
        dtype="float32",
    ),
    OUT_OF_RANGE_FLAG: FrameVariable(
        attrs={
            "long_name": "in which respects the rapid frame lies outside what the filter was "
            "trained on",
            "flag_masks": list(RESPECTS.values()),
            "flag_meanings": " ".join(RESPECTS),
        },
        dtype="uint8",
    ),
}


def lay_out(store: AcquisitionStore, series: SeriesPlan, choice: FilterChoice) -> None:
    """Make the empty group, unless it is there from a run that was cut short."""
    ledger = store.ledger(series.group)
    coordinates = frame_columns(store, series)
    earlier = earlier_run(store, series.group)
    if earlier is not None and earlier.get("fingerprint") == series.run["fingerprint"]:
        store.set_attrs(series.group, {"state": "partial"})
        if restore_ledger(store, series):
            keep_distortion(ledger, series.distortion)
            keep_parameters(ledger, store.attrs(series.group).get("filter_parameters"))
        if _length(store, series.group) < series.n_frames:
            grow(store, series, coordinates)
        return
    card = choice.card
    attrs = {
        "state": "partial",
        "filter": choice.label,
        "filter_sha256": choice.sha256,
        "filter_card": None if card is None else dict(card),
        "trained_on": series.trained_on,
        "filter_misfit": list(series.misfit) or None,
        "window": choice.window,
        "weighted": choice.weighted or None,
        "distortion": series.correction,
        "distortion_transfer": None if series.transfer is None else series.transfer.to_attrs(),
        "interpolation": series.run["interpolation"],
        "fingerprint": series.run["fingerprint"],
        "run": series.run,
    }
    known = {k: v for k, v in attrs.items() if v is not None}
    store.create_frames(
        series.fov,
        series.group,
        xr.Dataset(coords=coordinates, attrs=known),
        series.settings,
        n_frames=series.n_frames,
        dtype=np.dtype(series.dtype),
        with_fill=True,
        long_name=f"rapid frames after {choice.label}",
        block=series.block,
    )
    ledger.start(series.run)
    keep_distortion(ledger, series.distortion)
    keep_drift(ledger, None)  # found once there are workers; that of another run is not this one's
    keep_parameters(ledger, None)


def _length(store: AcquisitionStore, group: str) -> int:
    """Frames that a group has room for; the fewest, where it was being made longer."""
    return min(store.frames(group).shape[0], store.array(f"{group}/frame").shape[0])


def frame_columns(store: AcquisitionStore, series: SeriesPlan) -> dict[str, Any]:
    """Per-frame coordinates of the input; their means where the series becomes one frame."""
    found: dict[str, Any] = dict(image_coordinates(series.settings))
    with store.dataset(rapid_group(series.fov), decode=False) as rapid:  # clock times as stored
        for name, coordinate in rapid.coords.items():
            if coordinate.dims != ("frame",):
                continue
            if series.run["whole_series"] and "flag_meanings" in coordinate.attrs:
                continue  # words have no mean
            values, attrs = coordinate.values, dict(coordinate.attrs)
            if not series.run["whole_series"]:
                values = values[: series.n_frames]  # the series may be growing
            if series.run["whole_series"]:
                attrs["long_name"] = f"{attrs.get('long_name', name)}, mean of the series"
                if name == "frame":
                    values, attrs = np.zeros(1, dtype=np.int64), dict(coordinate.attrs)
                else:
                    values = _mean(values)
            found[str(name)] = ("frame", values, attrs)
    return found


def _mean(values: NDArray[Any]) -> NDArray[Any]:
    """Mean of what is known, in the same type."""
    missing = np.iinfo(np.int64).min  # of clock times
    known = values[values != missing] if values.dtype.kind == "i" else values[np.isfinite(values)]
    if not len(known):
        return values[:1]
    # Clock times fill 64 bit: no sum of them fits, and no float has their resolution.
    middle: NDArray[Any] = known[:1] + np.mean(known - known[0]).astype(values.dtype)
    return middle


def grow(store: AcquisitionStore, series: SeriesPlan, coordinates: Mapping[str, Any]) -> None:
    """Make room for frames that the series got since; safe to be done again when cut short."""
    store.write_dataset(series.group, xr.Dataset(coords=coordinates))
    store.frames(series.group).resize(series.n_frames)
    finish(store, series, {})  # what is known of every frame has the new length, too


def finish(store: AcquisitionStore, series: SeriesPlan, given_up: Mapping[int, str]) -> None:
    """Write what is known of every frame into the group, from the records of its blocks."""
    ledger = store.ledger(series.group)
    records = ledger.records()
    variables: dict[str, FrameVariable] = {}
    if any("psnr" in r.scores for r in records.values()):
        relation = store.attrs(f"{series.fov}/slow").get("relation", "same")
        variables |= _psnr_variables(relation, whole=bool(series.run["whole_series"]))
    if any(OUT_OF_RANGE in r.scores for r in records.values()):
        variables |= _RANGE_VARIABLES
    drift = load_drift(ledger) if series.run.get("drift") else None
    if drift is not None:
        store.write_dataset(series.group, shift_variables(drift))
    failures = {**series.standing.failed, **given_up}
    ledger.keep_failures(failures)
    finish_frames(store, series.group, records, variables=variables, failed_blocks=failures)
    totals = {n: sum(r.counts.get(n, 0) for r in records.values()) for n in ("masked", "clipped")}
    store.set_attrs(series.group, {f"{name}_pixels": total for name, total in totals.items()})


def _psnr_variables(relation: str, *, whole: bool) -> dict[str, FrameVariable]:
    after = ", which was taken after the series" if relation == "after" else ""
    found = {}
    for name, what in (
        ("psnr", "filtered frame"),
        ("psnr_rapid", "rapid frames, mean of the series" if whole else "rapid frame, corrected"),
    ):
        long_name = f"PSNR of the {what} against the slow scan{after}"
        found[name] = FrameVariable(attrs={"units": "dB", "long_name": long_name})
        by_band = {
            "units": "dB",
            "long_name": f"{long_name}, by band of its intensity",
            "band_edges": [0, 20000, 40000, 65535],
        }
        found[f"{name}_band"] = FrameVariable(attrs=by_band, more=_BANDS)
    return found
