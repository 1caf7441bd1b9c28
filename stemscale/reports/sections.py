"""Images and spectra of single FOVs, ready for the page's template."""

from dataclasses import dataclass

from stemscale.reports.display import prepare
from stemscale.reports.pictures import Picture, picture
from stemscale.reports.pixels import FovShots, read_shots
from stemscale.reports.spectra import spectrum_cutoffs, spectrum_figure
from stemscale.reports.store_view import FovView, StoreView

MAX_FOVS = 6
MAX_PICTURE_BYTES = 14_000_000  # of the 20 MB that a page may have
_PANELS_IN_A_ROW = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class FovSection:
    """What a page shows of one FOV."""

    name: str
    group: str
    trained: bool
    frame: int
    when: str
    pictures: tuple[Picture, ...]
    columns: int
    matched_to: str
    spectrum: str | None
    cutoffs: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]


def fov_sections(view: StoreView) -> list[FovSection]:
    """Render FOVs, held-out ones first, until there are enough of them, or enough bytes.

    Parameters
    ----------
    view : StoreView

    Returns
    -------
    list of FovSection
        At most `MAX_FOVS`.
    """
    sections: list[FovSection] = []
    n_bytes = 0
    for fov in sorted(view.fovs, key=shown_first):
        if len(sections) == MAX_FOVS:
            break
        shots = read_shots(view, fov)
        if not shots.shots:
            continue
        section = _fov_section(shots)
        n_bytes += sum(len(p.source) + len(p.crop_source or "") for p in section.pictures)
        if sections and n_bytes > MAX_PICTURE_BYTES:
            break
        sections.append(section)
    return sections


def shown_first(fov: FovView) -> tuple[bool, bool, bool]:
    """Sort FOVs: held out first, then filtered, then with a slow scan; else as they come."""
    return fov.trained or fov.use == "train", not fov.filters, fov.slow is None


def _fov_section(shots: FovShots) -> FovSection:
    display = prepare(shots)
    fov = shots.fov
    shown = {s.name for s in shots.shots}
    cutoffs = spectrum_cutoffs(shots, display)
    unit = "/µm" if shots.reference.pixel_size_nm is not None else "/px"
    return FovSection(
        name=fov.name,
        group=_group_label(fov),
        trained=fov.trained,
        frame=shots.frame,
        when=_when(fov, shots.frame),
        pictures=tuple(picture(shots, display, i) for i in range(len(shots.shots))),
        columns=min(len(shots.shots), _PANELS_IN_A_ROW),
        matched_to=display.matched_to,
        spectrum=spectrum_figure(shots, display),
        cutoffs=tuple((name, _wave_number(k, unit)) for name, k in cutoffs),
        missing=tuple(f.name for f in fov.filters if f.kind == "learned" and f.name not in shown),
    )


def _wave_number(wave_number: float, unit: str) -> str:
    if wave_number == 0:
        return "nowhere"
    if unit == "/px":
        return f"{wave_number:.2g} /px (period {1 / wave_number:.3g} px)"
    return f"{wave_number:.0f} /µm (period {1000 / wave_number:.3g} nm)"


def _group_label(fov: FovView) -> str:
    if fov.trained:
        return "a filter was trained on this FOV"
    if fov.use == "test" or any(f.kind == "learned" for f in fov.filters):
        return "held out of training"
    return ""


def _when(fov: FovView, frame: int) -> str:
    parts = []
    if fov.time is not None and frame < fov.time.size:
        parts.append(f"{fov.time[frame]:.3g} s")
    if fov.temperature is not None and frame < fov.temperature.size:
        parts.append(f"{fov.temperature[frame]:.0f} °C")
    return ", ".join(parts)
