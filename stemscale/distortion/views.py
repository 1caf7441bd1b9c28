"""View matching: which part of the rapid frame shows what the slow scan shows."""

from dataclasses import dataclass

import numpy as np

from stemscale.acquisition import Image
from stemscale.distortion.columns import normalised
from stemscale.distortion.contrast import require_contrast
from stemscale.distortion.distortion_map import DistortionMap
from stemscale.distortion.grids import on_other_count, onto_pixel_count
from stemscale.distortion.template import highest, scan_template
from stemscale.distortion.warp import Warp
from stemscale.errors import DistortionError, SettingsError


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewSearch:
    """How the edges of the slow scan's view are looked for in the rapid frame.

    The template's width is that of Ihara 2022, Method, "Distortion correction".

    Attributes
    ----------
    template_px : int
        Width of the templates from the slow scan's edges [px].
    max_row_offset : float
        Row offsets up to this share of the rows are looked for; templates are inset by it.
    background_px : int
        Width of the windows whose mean counts as background [px].
    min_zncc : float
        Least ZNCC of the better of the left and right edge.
    """

    template_px: int = 50
    max_row_offset: float = 0.06
    background_px: int = 39
    min_zncc: float = 0.5

    def __post_init__(self) -> None:
        if self.template_px < 8 or self.background_px < 3:
            raise SettingsError(
                f"template_px is {self.template_px} and background_px {self.background_px}: "
                "needed are at least 8 and 3 px"
            )
        if not 0 < self.max_row_offset <= 0.25 or not 0 <= self.min_zncc < 1:
            raise SettingsError(
                f"max_row_offset is {self.max_row_offset:g} and min_zncc {self.min_zncc:g}: "
                "needed are shares, up to 0.25 and below 1"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewMatch:
    """The part of the rapid frame that shows the slow scan's view.

    Attributes
    ----------
    left, right : float
        Rapid columns that show the first and the last column of the slow scan [px].
    row_offset : float
        Rapid row less slow row, on the rapid frame's pixel count [px].
    score_left, score_right, score_rows : float
        ZNCC of the left and right template, and of the better of the top and bottom one.

    Examples
    --------
    A slow scan of 5 columns that shows the rapid columns 1 to 9; its rows lie 2 px lower:

    >>> from stemscale.distortion import ViewMatch
    >>> match = ViewMatch(
    ...     left=1, right=9, row_offset=2, score_left=0.9, score_right=0.9, score_rows=0.9
    ... )
    >>> found = match.distortion_map(slow_shape=(3, 5), rapid_shape=(3, 10))
    >>> found.source_x.tolist()
    [[1.0, 3.0, 5.0, 7.0, 9.0]]
    >>> found.source_y.ravel().tolist()
    [2.0, 3.0, 4.0]
    """

    left: float
    right: float
    row_offset: float
    score_left: float
    score_right: float
    score_rows: float

    def distortion_map(
        self, slow_shape: tuple[int, int], rapid_shape: tuple[int, int]
    ) -> DistortionMap:
        """Return the linear part of the correction (row C1): cut, stretch, and shift the rows.

        Parameters
        ----------
        slow_shape, rapid_shape : tuple of int
            (n_y, n_x).

        Returns
        -------
        DistortionMap
        """
        rows = on_other_count(np.arange(slow_shape[0]), slow_shape[0], rapid_shape[0])
        return DistortionMap(
            source_x=np.linspace(self.left, self.right, slow_shape[1])[None],
            source_y=(rows + self.row_offset)[:, None],
            rapid_shape=rapid_shape,
        )


def match_views(
    dcfi: Image,
    slow: Image,
    *,
    search: ViewSearch = ViewSearch(),
) -> ViewMatch:
    """Find the slow scan's view in the rapid frame by its edges.

    Parameters
    ----------
    dcfi : ndarray, shape (y, x)
        Average of rapid frames [counts]; NaN = not seen.
    slow : ndarray, shape (y, x)
        Slow scan of the same area [counts], on any number of pixels.
    search : ViewSearch

    Returns
    -------
    ViewMatch

    Raises
    ------
    DistortionError
        If an image is constant or saturated, or the slow scan shows another area: both of its
        edges score below ``min_zncc``, or are found in the wrong order.

    Notes
    -----
    Source: rows C1 and C2. Where the paper is silent: both images are high-passed first, so that
    another background does not move the best place; the templates of the left and right edge are
    inset in rows and scanned in both directions, as a search along x alone fails under a row
    offset; the row offset is that of the best of all four edges, as the left and right ones, which
    span the rows and are hardly stretched, tell it better than the top and bottom, which are;
    places are refined to a fraction of a pixel.

    Examples
    --------
    The rapid frame shows 20 px more on the left, and the same number of columns:

    >>> import numpy as np
    >>> from scipy.ndimage import gaussian_filter
    >>> from stemscale.distortion import match_views
    >>> scene = gaussian_filter(np.random.default_rng(0).normal(size=(128, 220)), 2)
    >>> found = match_views(scene[:, :200], scene[:, 20:])
    >>> round(found.left), round(found.row_offset)
    (20, 0)
    """
    require_contrast(dcfi, "the average of the rapid frames")
    require_contrast(slow, "the slow scan")
    same = onto_pixel_count(slow, dcfi.shape)
    rapid, fixed = (
        normalised(image, background_px=search.background_px, smooth_px=1.0)
        for image in (dcfi, same)
    )
    n_y, n_x = dcfi.shape
    inset = max(1, round(search.max_row_offset * n_y))
    width = min(search.template_px, n_x // 4)
    half = n_x // 2 + width
    inner = fixed[inset : n_y - inset]
    offset_left, left, score_left = highest(scan_template(rapid[:, :half], inner[:, :width]))
    offset_right, right, score_right = highest(scan_template(rapid[:, -half:], inner[:, -width:]))
    left, right = left, right + n_x - half + width - 1
    _require_view(left, right, max(score_left, score_right), n_x, search)
    # the template's ends lie on the rapid count; the slow scan's own may differ
    rough = ViewMatch(
        left=left,
        right=right,
        row_offset=0.0,
        score_left=score_left,
        score_right=score_right,
        score_rows=0.0,
    )
    rows, score_rows = _match_rows(rapid, fixed, rough, inset, width)
    _, offset = max(
        (score_left, offset_left - inset), (score_right, offset_right - inset), (score_rows, rows)
    )
    per_pixel = (right - left) / (n_x - 1)
    first, last = on_other_count(np.array([0, slow.shape[1] - 1]), slow.shape[1], n_x)
    return ViewMatch(
        left=left + first * per_pixel,
        right=left + last * per_pixel,
        row_offset=offset,
        score_left=score_left,
        score_right=score_right,
        score_rows=score_rows,
    )


def _require_view(left: float, right: float, score: float, n_x: int, search: ViewSearch) -> None:
    if score < search.min_zncc or not right - left > n_x / 3:
        raise DistortionError(
            f"the slow scan is not found in the rapid frames: its edges score a ZNCC of "
            f"{score:.2f} at columns {left:.0f} and {right:.0f} (needed: {search.min_zncc:g}, in "
            "that order); check that both show the same area and have the scan direction along x"
        )


def _match_rows(
    rapid: Image, slow: Image, view: ViewMatch, inset: int, height: int
) -> tuple[float, float]:
    """Return the row offset at the top or the bottom edge, whichever scores higher (row C2)."""
    stretched = Warp(view.distortion_map(slow.shape, rapid.shape))(rapid[None])[0]
    stretched = np.nan_to_num(stretched, nan=0.0)
    n_y = slow.shape[0]
    found = []
    for start in (inset, n_y - inset - height):  # inset, so that it can move both ways
        part = slow[start : start + height, height:-height]
        window = stretched[start - inset : start + height + inset, height:-height]
        row, _, score = highest(scan_template(window, part))
        found.append((score, row - inset))
    score, offset = max(found)
    return float(offset), float(score)
