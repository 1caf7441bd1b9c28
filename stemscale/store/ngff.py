"""OME-NGFF 0.5 attributes, so that OME-Zarr readers see axes, units and pixel size."""

from typing import Any

from stemscale.acquisition import ScanSettings


def multiscales(array: str, settings: ScanSettings, *, name: str, series: bool) -> dict[str, Any]:
    """Describe one array of pixels for OME-Zarr readers.

    Parameters
    ----------
    array : str
        Name of the array in the group: ``frames`` or ``image``.
    settings : ScanSettings
        Pixel size and frame interval.
    name : str
        Shown by viewers.
    series : bool
        Whether the array has an axis ``frame``.

    Returns
    -------
    dict
        The attribute ``ome`` of the group (NGFF 0.5); units are spelled out, and left out where
        they are not known.

    Examples
    --------
    Frames of 512 x 512 px of 2.1 nm, one every 40 ms:

    >>> from stemscale.acquisition import ScanSettings
    >>> from stemscale.store import multiscales
    >>> scan = ScanSettings(n_x=512, n_y=512, pixel_size_nm=2.1, frame_time_s=0.04)
    >>> found = multiscales("frames", scan, name="fov01", series=True)["multiscales"][0]
    >>> [axis["unit"] for axis in found["axes"]]
    ['second', 'nanometer', 'nanometer']
    >>> found["datasets"][0]["coordinateTransformations"][0]["scale"]
    [0.04, 2.1, 2.1]
    """
    space = {} if settings.pixel_size_nm is None else {"unit": "nanometer"}
    interval = settings.frame_interval_s
    axes: list[dict[str, str]] = [{"name": n, "type": "space", **space} for n in ("y", "x")]
    scale = [settings.pixel_size_nm or 1.0] * 2
    if series:
        unit = {} if interval is None else {"unit": "second"}
        axes.insert(0, {"name": "frame", "type": "time", **unit})
        scale.insert(0, interval or 1.0)
    transform = {"type": "scale", "scale": scale}
    dataset = {"path": array, "coordinateTransformations": [transform]}
    return {"version": "0.5", "multiscales": [{"name": name, "axes": axes, "datasets": [dataset]}]}
