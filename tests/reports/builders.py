"""Small stores of the documented layout, made with plain xarray and zarr."""

import warnings

import numpy as np
import xarray as xr
import zarr

BASE = {"Conventions": "CF-1.11", "stemscale_format": "1", "history": "made by a test"}


def scene(shape, seed=0):
    """Dark lines, some of them vertical, on a slope."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    image = 0.2 * x / shape[1]
    for angle in (0.0, 0.4, 1.2, 2.5):
        across = (x - rng.uniform(0, shape[1])) * np.cos(angle)
        across = across + (y - rng.uniform(0, shape[0])) * np.sin(angle)
        image -= rng.uniform(0.4, 1) * np.exp(-0.5 * (across / 2.5) ** 2)
    return image


def counts(image, *, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    noisy = image + noise * rng.normal(size=image.shape)
    return np.clip(20000 + 5000 * noisy, 1, 65535).astype(np.uint16)


def new_store(path, **attrs):
    zarr.create_group(path, zarr_format=3, attributes={**BASE, **attrs})
    return path


def put(path, group, variables, *, coords=None, attrs=None, fill=None):
    """Write one group; ``fill`` is the CF fill value of its frames."""
    dataset = xr.Dataset(variables, coords=coords or {}, attrs=attrs or {})
    encoding = {}
    if "frames" in variables:  # one frame a chunk, as in a real store
        encoding["frames"] = {"chunks": (1, *dataset["frames"].shape[1:])}
        if fill is not None:
            encoding["frames"]["_FillValue"] = fill
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # consolidation is not in the v3 specification yet
        dataset.to_zarr(path, group=group, mode="a", zarr_format=3, encoding=encoding)


def add_fov(
    path,
    name="fov01",
    *,
    shape=(48, 64),
    n_frames=3,
    use=None,
    slow=True,
    relation="same",
    pixel_size_nm=2.1,
    dtype=np.uint16,
    temperature=False,
    seed=0,
):
    """Write the rapid frames of one FOV, and its slow scan."""
    truth = scene(shape, seed)
    frames = np.stack([counts(truth, noise=0.3, seed=i) for i in range(n_frames)]).astype(dtype)
    settings = {"dwell_time_ns": 100.0, "flyback_time_us": 25.0}
    if pixel_size_nm is not None:
        settings["pixel_size_nm"] = pixel_size_nm
    put(
        path,
        f"{name}/rapid",
        {"frames": (("frame", "y", "x"), frames)},
        coords=frame_coordinates(n_frames, temperature=temperature),
        attrs={**settings, "state": "complete"},
    )
    zarr.open_group(path, path=name).attrs.update({"use": use} if use else {})
    if slow:
        put(
            path,
            f"{name}/slow",
            {"image": (("y", "x"), counts(truth))},
            attrs={**settings, "dwell_time_ns": 5000.0, "relation": relation},
        )


def frame_coordinates(n_frames, *, temperature=False):
    time = ("frame", 0.039 * np.arange(n_frames), {"units": "s"})
    coords = {"frame": np.arange(n_frames), "time": time}
    if temperature:
        coords["temperature"] = ("frame", 90 + 0.5 * np.arange(n_frames), {"units": "degC"})
    return coords


def add_filtered(
    path,
    fov="fov01",
    name="dlf",
    *,
    shape=(48, 64),
    n_frames=3,
    psnr=16.0,
    psnr_rapid=14.0,
    status=None,
    temperature=False,
    seed=0,
    **attrs,
):
    """Write the output of one filter; scores rise by 0.1 dB a frame."""
    truth = scene(shape, seed)
    frames = np.stack([counts(truth, noise=0.05, seed=i) for i in range(n_frames)])
    status = np.ones(n_frames) if status is None else np.asarray(status)
    frames[status != 1] = 0
    variables = {
        "frames": (("frame", "y", "x"), frames),
        "frame_status": ("frame", status.astype(np.uint8)),
    }
    for score, value in (("psnr", psnr), ("psnr_rapid", psnr_rapid)):
        if value is not None:
            values = np.where(status == 1, value + 0.1 * np.arange(n_frames), np.nan)
            variables[score] = ("frame", values, {"units": "dB"})
    defaults = {
        "state": "complete" if (status == 1).all() else "partial",
        "filter": f"{name}.safetensors",
        "pixel_size_nm": 2.1,
    }
    put(
        path,
        f"{fov}/filtered/{name}",
        variables,
        coords=frame_coordinates(n_frames, temperature=temperature),
        attrs={**defaults, **attrs},
        fill=np.uint16(0),
    )


def add_dcfi(path, fov="fov01", *, shape=(48, 64), psnr=14.5, seed=0):
    """Write the average of a whole series: one frame, numbered 0."""
    add_filtered(
        path,
        fov,
        "dcfi",
        shape=shape,
        n_frames=1,
        psnr=psnr,
        psnr_rapid=psnr and psnr - 0.7,
        seed=seed,
        filter="dcfi",
    )


def add_calibration(path, fov="fov01", *, shape=(48, 64), dcfi=True, std=True, seed=0, **attrs):
    """A line start that is stretched, and one row of offset."""
    x = np.arange(shape[1], dtype=float)
    inside = (x / (shape[1] - 1)) ** 1.1 * (shape[1] - 1)
    variables = {
        "source_x": ("x", inside, {"units": "px"}),
        "source_y": ("y", np.arange(shape[0]) + 1.0, {"units": "px"}),
    }
    if std:
        variables["source_x_std"] = ("x", np.full(shape[1], 0.2), {"units": "px"})
    if dcfi:
        variables["dcfi"] = (("y", "x"), counts(scene(shape, seed)).astype(np.float32))
    defaults = {"method": "spline", "estimated_on": fov, "rapid_shape": list(shape)}
    put(path, f"{fov}/calibration", variables, attrs={**defaults, **attrs})


def add_summary(path, fovs, filters, **tables):
    """Write the group summary; a table is a nested list (fov, filter)."""
    variables = {n: (("fov", "filter"), np.array(t, dtype=float)) for n, t in tables.items()}
    put(path, "summary", variables, attrs={"fov_names": fovs, "filter_names": filters})
