"""What is undone in the rapid frames of a FOV or of a run of `process`, and where that is kept.

A map lies beside the store, with the records of the run that used it; in the FOV's calibration; or
in the store that it was carried over from. Nothing heavy is imported before one is read: the viewer
looks for it before its first page.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stemscale.acquisition import positive
from stemscale.errors import CorrectionLostError, DamagedDataError
from stemscale.store import (
    AcquisitionStore,
    calibration_group,
    filtered_group,
    ledger_root,
    rapid_group,
)

if TYPE_CHECKING:
    from stemscale.distortion import DistortionMap, SeriesWarp

_SHIFTS = ("shift_y", "shift_x")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Correction:
    """What is undone in rapid frames; the map itself is not read yet.

    Attributes
    ----------
    store : AcquisitionStore
    fov : str
    group : str or None
        Filtered frames of whose run it is; None: it is the FOV's own calibration.
    shape : tuple of int
        (n_y, n_x) of a corrected frame.
    pixel_ratio : float
        Nominal pixel size of corrected frames over that of rapid ones.
    run : mapping
        What is recorded of the run: ``distortion``, the fingerprint of the map, ``drift`` and
        ``interpolation``; of a calibration, the fingerprint alone.
    transfer : mapping
        What is recorded of a map that was carried over, see `Transfer.to_attrs`; else empty.
    """

    store: AcquisitionStore
    fov: str
    group: str | None
    shape: tuple[int, int]
    pixel_ratio: float
    run: Mapping[str, Any]
    transfer: Mapping[str, Any]

    @property
    def undone(self) -> tuple[str, ...]:
        """Of "distortion" and "drift", those that are undone."""
        return tuple(name for name in ("distortion", "drift") if self.run.get(name))

    @property
    def words(self) -> str:
        """Say what is undone, for a title."""
        return f"{' and '.join(self.undone)} corrected" if self.undone else "as recorded"

    @property
    def is_at_hand(self) -> bool:
        """Whether the map lies with the records of the run, so that it need not be looked for."""
        return self.group is not None and self.store.ledger(self.group).distortion_file.is_file()

    def load(self) -> "SeriesWarp":
        """Read all that it takes to correct frames.

        Returns
        -------
        SeriesWarp

        Raises
        ------
        CorrectionLostError
            If map or drift are known to have been used, and are nowhere to be found.
        StoreError
            If they are damaged.
        """
        from stemscale.distortion import SeriesWarp  # torch takes a second

        return SeriesWarp(
            self.read_map(),
            rapid_shape=self.store.frames(rapid_group(self.fov)).shape[1:],
            interpolation=self.run.get("interpolation"),
            drift=self._read_drift(),
        )

    def read_map(self) -> "DistortionMap | None":
        """Read the map; None where no distortion is undone.

        Raises
        ------
        CorrectionLostError
            If it is nowhere to be found.
        StoreError
            If it is damaged.
        """
        from stemscale.corrections.calibration import fingerprint, load_map
        from stemscale.corrections.kept import load_distortion
        from stemscale.corrections.transfer import find_again

        if "distortion" not in self.undone:
            return None
        if self.group is None:
            return load_map(self.store, self.fov)
        kept = load_distortion(self.store.ledger(self.group))
        if kept is not None:
            return kept
        if self.store.has(calibration_group(self.fov)):  # of a store copied without its ledgers
            own = load_map(self.store, self.fov)
            if fingerprint(own) == self.run["distortion"]:
                return own
        found = find_again(self.transfer, beside=self.store.path)
        if found is None:
            raise CorrectionLostError(self._where_it_was())
        return found

    def _where_it_was(self) -> str:
        name = self.store.path.name
        if self.transfer:
            other = " ".join(str(self.transfer.get("store")).split())
            other = other if len(other) <= 60 else f"{other[:57]}..."
            return (
                f"the distortion of {self.group} is that of {other}, which does not lie beside "
                f"{name} as it was then: put it there, or process with --overwrite"
            )
        return (
            f"{self.fov} was calibrated anew since {self.group} was made, and the map of then is "
            f"gone: copy {ledger_root(self.store.path).name} along with {name}, or process with "
            f"--overwrite"
        )

    def _read_drift(self) -> NDArray[np.float64] | None:
        from stemscale.corrections.kept import load_drift

        if "drift" not in self.undone or self.group is None:
            return None
        kept = load_drift(self.store.ledger(self.group))
        if kept is not None:
            return kept
        with self.store.dataset(self.group, decode=False) as dataset:
            if all(name in dataset.variables for name in _SHIFTS):
                return np.stack([dataset[name].values for name in _SHIFTS], axis=1)
        raise CorrectionLostError(
            f"the drift that {self.group} was made with is not known: finish it with `stemscale "
            f"process`"
        )


def find_correction(
    store: AcquisitionStore, fov: str, group: str | None = None
) -> Correction | None:
    """Find out what is undone in the rapid frames, without reading a map.

    Parameters
    ----------
    store : AcquisitionStore
    fov : str
    group : str, optional
        Filtered frames: what their run undid. By default what the FOV's own calibration undoes;
        without one, as in situ, what a run did that had a map from another store: the first whose
        map lies with its records, else the first.

    Returns
    -------
    Correction or None
        None where that is not known: the FOV is not calibrated, the run is not recorded.

    Raises
    ------
    StoreError
        If what the store says of it is damaged.
    """
    if group is not None:
        return _of_run(store, fov, group)
    if store.has(calibration_group(fov)):
        return _own(store, fov)
    runs = (_of_run(store, fov, filtered_group(fov, name)) for name in store.filters(fov))
    known = [found for found in runs if found is not None and "distortion" in found.undone]
    at_hand = (found for found in known if found.is_at_hand)
    return next(at_hand, known[0] if known else None)


def map_of(store: AcquisitionStore, fov: str) -> "DistortionMap | None":
    """Read the map that corrects the rapid frames of a FOV, or None where it has none.

    Raises
    ------
    CorrectionLostError
        If it is nowhere to be found.
    StoreError
        If it is damaged.
    """
    found = find_correction(store, fov)
    return None if found is None else found.read_map()


def _own(store: AcquisitionStore, fov: str) -> Correction:
    group = calibration_group(fov)
    with store.dataset(group) as dataset:
        sizes, attrs = dict(dataset.sizes), dict(dataset.attrs)
    if not {"y", "x"} <= set(sizes):
        raise DamagedDataError(f"{group} has no map: run `stemscale calibrate` again")
    return Correction(
        store=store,
        fov=fov,
        group=None,
        shape=(sizes["y"], sizes["x"]),
        pixel_ratio=positive(attrs.get("pixel_ratio")) or 1.0,
        run={"distortion": attrs.get("fingerprint", "not told")},
        transfer={},
    )


def _of_run(store: AcquisitionStore, fov: str, group: str) -> Correction | None:
    attrs = store.attrs(group)
    run = attrs.get("run") or store.ledger(group).run()
    transfer = attrs.get("distortion_transfer")
    run, transfer = (d if isinstance(d, dict) else {} for d in (run, transfer))
    if not run and not transfer:
        return None
    rapid, made = store.frames(rapid_group(fov)).shape, store.frames(group).shape
    own = positive(store.attrs(rapid_group(fov)).get("pixel_size_nm"))
    theirs = positive(attrs.get("pixel_size_nm"))
    return Correction(
        store=store,
        fov=fov,
        group=group,
        shape=(made[1], made[2]),
        pixel_ratio=theirs / own if own and theirs else rapid[2] / made[2],
        run={"distortion": transfer.get("fingerprint"), **run},
        transfer=transfer,
    )
