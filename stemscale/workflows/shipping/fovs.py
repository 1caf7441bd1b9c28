"""Simulated FOVs to train on: corrected rapid frames, and what they would be without noise or lag.

The target is not the slow scan, which has another background and response, but the truth behind
the rapid frames themselves, on the very grid of the corrected frames. It lies where `calibrate`
would put the frames: the mean delay of the lag is part of a calibration, so a filter must not take
it away once more.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pictures
from scipy.ndimage import zoom

from stemscale.distortion import DistortionMap, Warp
from stemscale.errors import SettingsError
from stemscale.simulation import FieldOfView, PictureSpecimen, SimulationSettings
from stemscale.simulation.scene import Scene
from stemscale.workflows.shipping.settings import draw_settings

SIZE, FRAMES = 256, 2
_PICTURED, _INVERTED = 0.3, 0.3  # shares of all FOVs
_BESIDE = 0.2  # of the view, on either side: what the scans see beside it
_ZOOM = (0.8, 1.8)
_DARKEST = (0.02, 0.5)
_DELAY_ROWS = 64
_MOST_DELAY_PX = 8

Pictures.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MadeFov:
    """One FOV.

    Attributes
    ----------
    frames : ndarray of float32, shape (frame, y, x)
        Corrected rapid frames [counts]; NaN = not seen.
    target : ndarray of float32, shape (y, x)
        The same without noise and lag [counts].
    """

    frames: NDArray[np.float32]
    target: NDArray[np.float32]


def read_scenes() -> list[NDArray[np.uint8]]:
    """Read the pictures that lie beside this module.

    Raises
    ------
    SettingsError
        If there are none, as in an installed package.
    """
    folder = files(__package__).joinpath("scenes")
    there = folder.iterdir() if folder.is_dir() else ()
    found = sorted(f.name for f in there if f.name.endswith(".png"))
    if not found:
        raise SettingsError(f"{folder} holds no picture (*.png): run this from a checkout")
    return [
        np.asarray(Pictures.open(BytesIO(folder.joinpath(name).read_bytes())).convert("L"))
        for name in found
    ]


def scenes_hash(scenes: Sequence[NDArray[np.uint8]]) -> str:
    """Name the pictures by what they show (SHA-256)."""
    digest = hashlib.sha256()
    for scene in scenes:
        digest.update(repr(scene.shape).encode() + scene.tobytes())
    return digest.hexdigest()


def settings_of(seed: int, number: int) -> SimulationSettings:
    """Give the settings of the microscope under which a FOV lies, see `make_fov`."""
    return draw_settings(np.random.default_rng((seed, number)))


def make_fov(seed: int, number: int, scenes: Sequence[NDArray[np.uint8]]) -> MadeFov:
    """Make a FOV of a microscope of its own.

    Parameters
    ----------
    seed, number : int
        They alone, and the scenes, decide what it is.
    scenes : sequence of ndarray
        From `read_scenes`.

    Returns
    -------
    MadeFov
    """
    rng = np.random.default_rng((seed, number))
    settings = draw_settings(rng)
    picture = _picture(rng, scenes) if scenes and rng.random() < _PICTURED else None
    specimen = None
    if picture is not None:
        specimen = PictureSpecimen(picture, size=SIZE, darkest=float(rng.uniform(*_DARKEST)))
    elif rng.random() < _INVERTED:
        specimen = _dark_field(rng, settings, seed, number)
    fov = FieldOfView(
        number,
        size=SIZE,
        n_frames=FRAMES,
        settings=settings,
        seed=seed,
        scan_seed=number,  # every FOV is scanned by another microscope
        specimen=specimen,
    )
    return corrected(fov, rng)


def corrected(fov: FieldOfView, rng: np.random.Generator) -> MadeFov:
    """Bring a FOV's frames onto a grid as `process` does, and give the truth on the same grid."""
    size = fov.shape[0]
    source_x, source_y = fov.scan.source_x, fov.scan.source_y(size)
    if fov.settings.has("distortion"):  # what is left of it after a calibration, and drift
        source_x = source_x + _residue(rng, size)
        source_y = source_y + rng.uniform(-0.5, 0.5)
    delay = _delay_px(fov)
    frames = np.stack([fov.frame(i).counts for i in range(fov.n_frames)]).astype(np.float32)
    truth = fov.without_noise(source_y, source_x).astype(np.float32)
    if not fov.settings.has("distortion"):
        # as recorded, of the same grid: then nothing has been shifted either
        moved = fov.without_noise(source_y, source_x - delay)
        return MadeFov(frames=frames, target=moved.astype(np.float32))
    warp = Warp(
        DistortionMap(
            source_x=(source_x + delay)[None],
            source_y=source_y[:, None],
            rapid_shape=fov.shape,
        )
    )
    return MadeFov(frames=warp(frames), target=truth)


def _residue(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Draw a smooth error of a calibration [px]; the sources keep rising."""
    u = np.arange(size) / size
    waves = [
        rng.normal(0, 0.15) * np.cos(2 * np.pi * (k * u + rng.random())) for k in (0.5, 1.5, 3.0)
    ]
    return np.asarray(np.sum(waves, axis=0) + rng.uniform(-0.5, 0.5))


def _delay_px(fov: FieldOfView) -> float:
    """Find by how much the lag moves what is seen along x, as a calibration would find it [px]."""
    if not fov.settings.has("lag"):
        return 0.0
    size = fov.shape[0]
    grid = np.arange(size, dtype=np.float64)
    signal = fov.without_noise(grid, grid)
    late = fov.with_lag(signal)
    spectra = [np.fft.rfft(_flat(image), axis=1) for image in (late, signal)]
    cross = (spectra[0] * spectra[1].conj()).sum(axis=0)
    cross[:3] = 0  # what is smooth has no place
    steps = np.arange(0, _MOST_DELAY_PX, 0.05)
    wave = 2j * np.pi * np.arange(len(cross))[None] / size
    match = np.real(np.exp(wave * steps[:, None]) @ cross)
    return float(steps[int(match.argmax())])


def _flat(image: NDArray[np.float64]) -> NDArray[np.float64]:
    step = max(1, image.shape[0] // _DELAY_ROWS)
    rows = image[::step]
    window = np.hanning(rows.shape[1])
    return np.asarray((rows - rows.mean(axis=1, keepdims=True)) * window)


def _picture(
    rng: np.random.Generator, scenes: Sequence[NDArray[np.uint8]]
) -> NDArray[np.float64] | None:
    """Cut a part from a picture, turned, magnified, and bright or dark; None where it is empty."""
    scene = scenes[int(rng.integers(len(scenes)))]
    wanted = round(SIZE * (1 + 2 * _BESIDE))
    lowest = max(_ZOOM[0], wanted / min(scene.shape) + 0.01)
    factor = float(np.exp(rng.uniform(np.log(lowest), np.log(_ZOOM[1]))))
    cut = int(np.ceil(wanted / factor)) + 1
    top, left = (int(rng.integers(n - cut + 1)) for n in scene.shape)
    part = scene[top : top + cut, left : left + cut].astype(np.float64)
    part = np.rot90(part, int(rng.integers(4)))
    if rng.random() < 0.5:
        part = part[:, ::-1]
    large: NDArray[np.float64] = zoom(part, factor, order=3, mode="reflect")[:wanted, :wanted]
    middle = large[wanted // 6 : -wanted // 6, wanted // 6 : -wanted // 6]
    if np.percentile(middle, 95) - np.percentile(middle, 5) < 20:
        return None
    return -large if rng.random() < _INVERTED else large


def _dark_field(
    rng: np.random.Generator, settings: SimulationSettings, seed: int, number: int
) -> PictureSpecimen:
    """Turn the dislocations of the settings into bright lines on a dark specimen."""
    scene = Scene(
        settings.scene, (SIZE, SIZE), settings.pixel_size_nm, np.random.default_rng((seed, number))
    )
    beside = round(SIZE * _BESIDE)
    grid = np.arange(-beside, SIZE + beside, dtype=np.float64)
    signal = scene.image().sample(grid, grid)
    return PictureSpecimen(-signal, size=SIZE, darkest=float(rng.uniform(*_DARKEST)))
