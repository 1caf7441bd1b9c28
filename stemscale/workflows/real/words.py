"""What the scores of a series say, in sentences that follow from the numbers alone."""

from stemscale.workflows.real.plan import ALIGNED
from stemscale.workflows.real.scores import RAPID, SeriesScores
from stemscale.workflows.real.survey import RealSeries

_CLEAR = 1e-3  # of the pixels: noise alone is clear at 0.00006 of them
_EMPTY = 0.02  # of the contrast of a mean frame
_LESS = 0.95  # of a wave number: below, it is another one
_FEW_LEVELS = 64


def rapid_type(one: RealSeries) -> str:
    """Name the output that holds the rapid frames as they are compared."""
    return ALIGNED if one.drifts else RAPID


def about_series(one: RealSeries) -> list[str]:
    """Say what a reader must know of a series before its scores.

    Parameters
    ----------
    one : RealSeries

    Returns
    -------
    list of str
    """
    found = []
    if one.drifts and one.moved_px is not None:
        found.append(
            f"The scene moves by {one.moved_px:.0f} px: all frames were brought onto one grid, the "
            "rapid ones too; that makes noise alike in neighbours."
        )
    if one.moved_px is None:
        found.append(
            "Its frames are too small, or show too little, to tell whether the scene moves."
        )
    if one.repeats:
        found.append(
            f"{one.repeats} of its {one.n_frames} frames are the frame before once more, so that "
            "two halves of the series share noise: what is said of them is too good."
        )
    if one.levels is not None and one.levels < _FEW_LEVELS:
        found.append(
            f"Its pixels are whole counts, with {one.levels} between the darkest and the "
            "brightest: filtered frames are kept as whole counts, too, which loses what lies "
            "between."
        )
    if one.n_frames < 4:
        found.append(f"Of {one.n_frames} frames, each half has but {one.n_frames // 2}.")
    return found


def about_filter(one: RealSeries, filter_: str, scores: SeriesScores) -> list[str]:
    """Say what a filter did to a series.

    Parameters
    ----------
    one : RealSeries
    filter_ : str
        Name of its output.
    scores : SeriesScores

    Returns
    -------
    list of str
        Nothing where nothing is known.
    """
    sentences = (
        _emptied(one, filter_, scores),
        _noise(one, filter_, scores),
        _residual(one, filter_, scores),
        _detail(one, filter_, scores),
        _outside(one, filter_, scores),
        *(f"`process` warns: {words}." for words in scores.misfit(one.fov, filter_)),
    )
    return [sentence for sentence in sentences if sentence]


def _emptied(one: RealSeries, filter_: str, scores: SeriesScores) -> str:
    left = scores.contrast_left(one.fov, rapid_type(one), filter_)
    if left >= _EMPTY:
        return ""
    return "It failed: its frames are empty."


def _noise(one: RealSeries, filter_: str, scores: SeriesScores) -> str:
    left = scores.get(one.fov, filter_, "noise_left")
    return "" if left is None else f"{100 * left:.0f} % of the noise is left."


def _residual(one: RealSeries, filter_: str, scores: SeriesScores) -> str:
    lost, clear = (scores.get(one.fov, filter_, f"residual_{name}") for name in ("lost", "clear"))
    if lost is None or clear is None:
        return "Its residual cannot be tested: the frames are too small, or show too little."
    share = f"{100 * lost:.2g} % of the contrast of the scene"
    if clear < _CLEAR:
        return f"What it took away shows no clear structure ({share})."
    return (
        f"What it took away holds structure: {share} was lost or invented, clearly so at "
        f"{100 * clear:.2g} % of the pixels."
    )


def _detail(one: RealSeries, filter_: str, scores: SeriesScores) -> str:
    confirmed = scores.get(one.fov, filter_, "frc_rapid_cutoff")
    rapid = scores.get(one.fov, rapid_type(one), "frc_cutoff")
    if confirmed is None or rapid is None:
        return ""
    if confirmed == 0:
        return "Other rapid frames confirm none of its detail."
    among = f"rapid frames confirm each other to {rapid:.2f}"
    if rapid == 0:
        among = "rapid frames alone do not confirm each other"
    said = f"Other rapid frames confirm its detail to {wave(confirmed, one)}; {among}"
    if confirmed < _LESS * rapid:
        said += ", so it lost detail, or a pattern that all frames have"
    return f"{said}."


def _outside(one: RealSeries, filter_: str, scores: SeriesScores) -> str:
    words = scores.outside(one.fov, filter_)
    return f"{words[0].upper()}{words[1:]}." if words else ""


def wave(per_px: float, one: RealSeries) -> str:
    """Write a wave number above 0 [1/px] with its period."""
    size = one.settings.pixel_size_nm
    in_nm = "" if size is None else f", {size / per_px:.3g} nm"
    return f"{per_px:.2f} /px (period {1 / per_px:.2g} px{in_nm})"
