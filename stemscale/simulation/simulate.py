"""A whole acquisition: fields of view one after the other, as files and with their truth."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stemscale.errors import SettingsError
from stemscale.simulation.checks import check_share
from stemscale.simulation.field_of_view import FieldOfView
from stemscale.simulation.files import (
    MANIFEST,
    TRUTH,
    prepare_folder,
    write_rows,
    write_tiff,
)
from stemscale.simulation.presets import preset_settings
from stemscale.simulation.replay import Replay, write_at_pace
from stemscale.simulation.settings import SimulationSettings
from stemscale.simulation.truth import TruthFile, TruthOfFov

HELD_OUT = 0.25
"""Share of the FOVs that are marked ``test``."""

logger = logging.getLogger(__name__)

_COLUMNS = ("fov", "rapid", "slow", "slow_is", "frame_metadata", "use")
_AT_REST = (8, 20)  # FOVs, frames: enough to train a small filter on
_IN_SITU = (1, 200)
_MIN_SIZE = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameSimulated:
    """A rapid frame was written.

    Attributes
    ----------
    fov : str
    frame : int
        Index from 0 in this FOV.
    done, total : int
        Frames of all FOVs: those that are written, and those that will be.
    """

    fov: str
    frame: int
    done: int
    total: int


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameReplayed:
    """A rapid frame was written at its time.

    Attributes
    ----------
    fov : str
    frame : int
        Index from 0 in this FOV.
    late : bool
        Whether it was whole only when the next one was due.
    done, total : int
        Frames of this FOV: those that are written, and those that will be.
    """

    fov: str
    frame: int
    late: bool
    done: int
    total: int


Listener = Callable[[FrameSimulated | FrameReplayed], None]


def simulate(
    folder: str | Path,
    *,
    fovs: int | None = None,
    frames: int | None = None,
    size: int = 512,
    seed: int = 0,
    scan_seed: int = 0,
    in_situ: bool = False,
    preset: str = "reference",
    settings: SimulationSettings | None = None,
    held_out: float = HELD_OUT,
    replay: Replay | None = None,
    overwrite: bool = False,
    listeners: Sequence[Listener] = (),
) -> Path:
    """Simulate rapid scans of dislocations, and write them as a microscope leaves them.

    Parameters
    ----------
    folder : str or Path
        Gets, per FOV, ``fov01_rapid.tif`` (rows D1, D4), ``fov01_slow.tif`` (row D2) and in situ
        ``fov01_frames.csv`` (row D6); ``truth.zarr``; and at last ``fovs.csv``.
    fovs, frames : int, optional
        Number of FOVs, and of rapid frames in each; 8 and 20, in situ 1 and 200.
    size : int
        Pixels along x and along y.
    seed : int
        Of specimen and noise: another seed is another specimen on the same microscope.
    scan_seed : int
        Of the microscope: the distortion of its rapid scan, and its response.
    in_situ : bool
        Heat the specimen during the series; its slow scan is then taken after the frames.
    preset : str
        A key of `PRESETS`.
    settings : SimulationSettings, optional
        Instead of a preset.
    held_out : float
        Share of the FOVs, the last ones, that are marked ``test``, not ``train``; at least one of
        two. In-situ FOVs all are.
    replay : Replay, optional
        Write the rapid frames one by one at a pace, once all those of a FOV are simulated: as
        ``fov01_rapid/frame_000001.tif`` and so on, or as a growing ``fov01_rapid.mrc``. The slow
        scan and all else come after them.
    overwrite : bool
        Replace an earlier simulation in ``folder``.
    listeners : sequence of callable
        Told of every frame.

    Returns
    -------
    Path
        Of ``fovs.csv``, the manifest to ingest.

    Raises
    ------
    SettingsError
        If a number makes no sense.
    StoreConflictError
        If the folder is not empty.

    Examples
    --------
    >>> from pathlib import Path
    >>> import stemscale
    >>> manifest = stemscale.simulate("simulated", fovs=2, frames=2, size=32)
    >>> sorted(file.name for file in Path("simulated").glob("*.tif"))
    ['fov01_rapid.tif', 'fov01_slow.tif', 'fov02_rapid.tif', 'fov02_slow.tif']
    >>> print(manifest.read_text())
    fov,rapid,slow,slow_is,frame_metadata,use
    fov01,fov01_rapid.tif,fov01_slow.tif,same,,train
    fov02,fov02_rapid.tif,fov02_slow.tif,same,,test
    <BLANKLINE>
    """
    settings = preset_settings(preset) if settings is None else settings
    default_fovs, default_frames = _IN_SITU if in_situ else _AT_REST
    n_fovs = default_fovs if fovs is None else fovs
    n_frames = default_frames if frames is None else frames
    seeds = {"seed": seed, "scan_seed": scan_seed}
    _check_numbers(fovs=(n_fovs, 1), frames=(n_frames, 1), size=(size, _MIN_SIZE))
    _check_numbers(**{name: (value, 0) for name, value in seeds.items()})
    check_share("held_out", held_out)
    folder = Path(folder)
    prepare_folder(folder, overwrite=overwrite)
    truth = TruthFile(folder / TRUTH, {**seeds, "settings": settings.to_attrs()})
    rows = []
    for i in range(n_fovs):
        name = f"fov{i + 1:02d}"
        view = FieldOfView(
            i + 1,
            size=size,
            n_frames=n_frames,
            settings=settings,
            seed=seed,
            scan_seed=scan_seed,
            in_situ=in_situ,
        )

        def tell(frame: int, fov: str = name, before: int = i * n_frames) -> None:
            event = FrameSimulated(
                fov=fov, frame=frame, done=before + frame + 1, total=n_fovs * n_frames
            )
            for listener in listeners:
                listener(event)

        def tell_late(frame: int, late: bool, fov: str = name) -> None:
            event = FrameReplayed(fov=fov, frame=frame, late=late, done=frame + 1, total=n_frames)
            for listener in listeners:
                listener(event)

        rapid = f"{name}_rapid.tif" if replay is None else replay.name(name)
        table = _write_fov(folder, name, view, truth, tell, replay, tell_late)
        use = "test" if in_situ or i >= first_held_out(n_fovs, held_out) else "train"
        slow_is = "after" if in_situ else "same"
        rows.append((name, rapid, f"{name}_slow.tif", slow_is, table, use))
        logger.info("simulated %s: %d frames of %d x %d", name, n_frames, size, size)
    truth.close()
    # The manifest last, as it says that all the other files are whole.
    write_rows(folder / MANIFEST, _COLUMNS, rows)
    return folder / MANIFEST


def _write_fov(
    folder: Path,
    name: str,
    view: FieldOfView,
    truth: TruthFile,
    tell: Callable[[int], None],
    replay: Replay | None,
    tell_late: Callable[[int, bool], None],
) -> str:
    """Write one FOV and its truth; give the name of its table of frames, empty at rest."""
    settings, n_frames = view.settings, view.n_frames
    true = truth.add_fov(name, view.shape, settings.pixel_size_nm)
    true_frames = true.create_frames(n_frames, view.shape) if view.in_situ else None
    shifts, table = np.zeros((n_frames, 2)), []

    def pages() -> Iterator[NDArray[np.uint16]]:
        for i in range(n_frames):
            frame = view.frame(i)
            shifts[i] = frame.shift_px
            if frame.truth is not None and true_frames is not None:
                true_frames[i] = np.rint(frame.truth).astype(np.uint16)
                table.append((i, f"{frame.time_s:.6f}", f"{frame.temperature_degc:.3f}"))
            yield frame.counts
            tell(i)

    shape = (n_frames, *view.shape)
    dwell_ns = settings.rapid_dwell_ns
    if replay is None:
        write_tiff(folder / f"{name}_rapid.tif", pages(), shape, settings, dwell_ns=dwell_ns)
    else:
        path = folder / replay.name(name)
        write_at_pace(path, pages(), replay, view.shape, settings, tell_late)
    dwell_ns, slow = settings.slow_dwell_ns, [view.slow()]
    write_tiff(folder / f"{name}_slow.tif", slow, (1, *view.shape), settings, dwell_ns=dwell_ns)
    _write_truth(true, view, shifts)
    if not table:
        return ""
    write_rows(folder / f"{name}_frames.csv", ("frame", "time_s", "temperature_C"), table)
    return f"{name}_frames.csv"


def _write_truth(true: TruthOfFov, view: FieldOfView, shifts: NDArray[np.float64]) -> None:
    image = view.truth().astype(np.float32)
    true.write("image", ("y", "x"), image, "counts", "what the slow scan shows, without noise")
    for axis, source in (("x", view.scan.source_x), ("y", view.scan.source_y(view.shape[0]))):
        what = "column" if axis == "x" else "row"
        long_name = f"fractional {what} of the rapid frames that shows the slow scan's"
        true.write(f"source_{axis}", (axis,), source, "px", long_name)
        long_name = f"place of the scene in a corrected frame, from the slow scan, along {axis}"
        shift = shifts[:, "yx".index(axis)]
        true.write(f"shift_{axis}", ("frame",), shift, "px", long_name)


def first_held_out(n_fovs: int, held_out: float = HELD_OUT) -> int:
    """Give the index of the first FOV that is marked ``test``."""
    if n_fovs < 2 or held_out == 0:
        return n_fovs
    return n_fovs - max(1, round(held_out * n_fovs))


def _check_numbers(**numbers: tuple[int, int]) -> None:
    for name, (value, least) in numbers.items():
        if value < least:
            raise SettingsError(f"{name} is {value}, but must be at least {least}")
