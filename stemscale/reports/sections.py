"""Images and figures of single FOVs, ready for the page's template."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from stemscale.errors import StoreError
from stemscale.reports.display import Display, prepare
from stemscale.reports.gallery import Drawn, Gallery
from stemscale.reports.pictures import Picture, picture
from stemscale.reports.plots import fov_plots, spectrum_cutoffs, stamp, stretch_plots
from stemscale.reports.shots import FovShots, read_shots
from stemscale.views.store_view import FilterView, FovView, StoreView

MAX_FOVS = 6
MAX_FOVS_WITH_FIGURES = 3
MAX_PICTURE_BYTES = 12_000_000  # of the 20 MB that a page may have
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
    figures: tuple[Drawn, ...]
    cutoffs: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]

    @property
    def n_bytes(self) -> int:
        """Size of its pictures and figures on the page."""
        return sum(p.n_bytes for p in self.pictures) + sum(len(f.source) for f in self.figures)


def fov_sections(view: StoreView, gallery: Gallery) -> Iterator[FovSection]:
    """Render FOVs, held-out ones first, until there are enough of them, or enough bytes.

    Parameters
    ----------
    view : StoreView
    gallery : Gallery
        Takes the figures, of the first three FOVs.

    Yields
    ------
    FovSection
        At most `MAX_FOVS`.
    """
    shown = n_bytes = 0
    for fov in sorted(view.fovs, key=shown_first):
        shots = read_shots(view, fov)
        if not shots.shots:
            continue
        section = _fov_section(view, shots, gallery, with_figures=shown < MAX_FOVS_WITH_FIGURES)
        n_bytes += section.n_bytes
        if shown and n_bytes > MAX_PICTURE_BYTES:
            return
        yield section
        shown += 1
        if shown == MAX_FOVS:
            return


def chosen(view: StoreView, *, fovs: Sequence[str] = (), filters: Sequence[str] = ()) -> StoreView:
    """Leave out what is not to be shown.

    Parameters
    ----------
    view : StoreView
    fovs : sequence of str, optional
        FOVs to keep; by default all.
    filters : sequence of str, optional
        Filtered frames to keep; by default all. The average of a series (DCFI) and frames that
        are corrected and not filtered stand beside any filter, and always stay.

    Returns
    -------
    StoreView

    Raises
    ------
    StoreError
        If one of them is not there.
    """
    if fovs:
        _check_there(view, "field of view", fovs, [f.name for f in view.fovs])
        view = view.only(fovs)
    if filters:
        known = dict.fromkeys(x.name for f in view.fovs for x in f.filters)
        _check_there(view, "filtered frames", filters, list(known))
        kept = [
            replace(f, filters=tuple(x for x in f.filters if x.name in filters or _beside(x)))
            for f in view.fovs
        ]
        view = replace(view, fovs=tuple(kept))
    return view


def _check_there(view: StoreView, what: str, wanted: Sequence[str], there: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in there]
    if missing:
        known = ", ".join(there[:8]) or "none"
        raise StoreError(f"{view.name} has no {what} {missing[0]}: it has {known}")


def _beside(filtered: FilterView) -> bool:
    return filtered.name == "dcfi" or filtered.kind == "none"


def shown_first(fov: FovView) -> tuple[bool, bool, bool]:
    """Sort FOVs: held out first, then filtered, then with a slow scan; else as they come."""
    return fov.trained or fov.use == "train", not fov.filters, fov.slow is None


def _fov_section(
    view: StoreView, shots: FovShots, gallery: Gallery, *, with_figures: bool
) -> FovSection:
    display = prepare(shots)
    fov = shots.fov
    shown = {s.name for s in shots.shots}
    figures = []
    if with_figures:
        figures += gallery.hang(fov_plots(shots, display))
        figures += gallery.hang(stretch_plots(view, shots))
    return FovSection(
        name=fov.name,
        group=_group_label(fov),
        trained=fov.trained,
        frame=shots.frame,
        when=stamp(fov, shots.frame),
        pictures=tuple(picture(shots, display, i) for i in range(len(shots.shots))),
        columns=min(len(shots.shots), _PANELS_IN_A_ROW),
        matched_to=display.matched_to,
        figures=tuple(figures),
        cutoffs=_cutoffs(shots, display) if with_figures else (),
        missing=tuple(f.name for f in fov.filters if f.kind == "learned" and f.name not in shown),
    )


def _cutoffs(shots: FovShots, display: Display) -> tuple[tuple[str, str], ...]:
    unit = "/µm" if shots.reference.pixel_size_nm is not None else "/px"
    found = spectrum_cutoffs(shots, display)
    return tuple((name, _wave_number(k, unit)) for name, k in found)


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
