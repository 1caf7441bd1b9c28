"""The tables of scores: on a terminal, and as CSV."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from rich import box
from rich.markup import escape  # names and units may have square brackets
from rich.table import Table

from stemscale.quality.measures import MEASURES, UNIT_LABELS
from stemscale_cli.terminal_page import page_console, print_page

if TYPE_CHECKING:
    import xarray as xr

    from stemscale.reports import EndScore, RangeRow, ScoreRow, SeriesRow, Statistic

_BANDS, _STREAK = "psnr_band", "streak"
_WIDTH = 80  # where nothing tells how wide the reader's page is
_HEADING_WIDTH = 12  # of a mean ± its deviation
_BETWEEN = 2  # blanks after a column
_CONTINUED = ", continued"


def show_scores(rows: "Sequence[ScoreRow]") -> None:
    """Show the scores of each group of FOVs: PSNR, PSNR by band, smear and detail."""
    for group in dict.fromkeys(row.fov_group for row in rows):
        mine = [row for row in rows if row.fov_group == group]
        fovs = f"FOVs: {group} ({max(row.n_fovs for row in mine)})"
        shown = {name: m.decimals for name, m in MEASURES.items() if m.decimals is not None}
        ratios = {name: decimals for name, decimals in shown.items() if _is_ratio(name)}
        others = {name: decimals for name, decimals in shown.items() if not _is_ratio(name)}
        _show_columns(fovs, mine, ratios, with_frames=True)
        _show_bands(mine)
        _show_columns("Smear and detail", mine, others)


def _show_columns(
    title: str,
    rows: "Sequence[ScoreRow]",
    columns: Mapping[str, int],
    *,
    with_frames: bool = False,
) -> None:
    shown = [name for name in columns if any(_of(row, name) for row in rows)]
    if not shown and not with_frames:
        return
    headings = [_heading(name, rows) for name in shown]
    cells = [
        (
            row.type,
            *[str(row.n_frames)] * with_frames,
            *(_cell(columns[name], name, _of(row, name)) for name in shown),
        )
        for row in rows
    ]
    _show(title, ["frames"] * with_frames + headings, cells)


def _show_bands(rows: "Sequence[ScoreRow]") -> None:
    bands = {s.band: None for row in rows for s in row.statistics if s.score == _BANDS}
    if not bands:
        return
    cells = []
    for row in rows:
        found = {s.band: s for s in row.statistics if s.score == _BANDS}
        cells.append((row.type, *(_with_scatter(found.get(band)) for band in bands)))
    _show("PSNR [dB] by band of the slow scan's intensity", list(bands), cells)


def show_series(rows: "Sequence[SeriesRow]") -> None:
    """Show in-situ series against time and temperature."""
    for fov in dict.fromkeys(row.fov for row in rows):
        mine = [row for row in rows if row.fov == fov]
        types = list(dict.fromkeys(t for row in mine for t in row.psnr_db))
        score = {"psnr": "PSNR", "upsnr": "uPSNR"}[mine[0].score]
        first = "frames" if mine[0].time_s is None else "time [s]"
        cells = []
        for row in mine:
            scores = [row.psnr_db.get(t) for t in types]
            frames = f"{row.first_frame} - {row.last_frame}"
            cells.append(
                (
                    frames if row.time_s is None else _span(row.time_s, 1),
                    "" if row.temperature_degc is None else _span(row.temperature_degc, 0),
                    *("" if s is None else f"{s[0]:.2f} ± {s[1]:.2f}" for s in scores),
                )
            )
        _show(f"{fov}: {score} [dB]", ["[°C]", *types], cells, first=first)


def show_last_frames(rows: "Sequence[EndScore]") -> None:
    """Show last frames of series against the slow scans after them."""
    if not rows:
        return
    title = "Last frame against the slow scan after it: PSNR [dB]"
    cells = []
    for row in rows:
        over = f"{row.gain_db:+.2f} dB ({row.gain_percent:+.0f} %)"
        scores = (f"{row.rapid_db:.2f}", f"{row.filtered_db:.2f}")
        cells.append((f"{row.fov}/{row.filter}", str(row.frame), *scores, over))
    _show(title, ["frame", "rapid", "filtered", "over rapid"], cells)


def show_ranges(rows: "Sequence[RangeRow]") -> None:
    """Count frames out of range, where there are any."""
    if not any(row.n_out_of_range for row in rows):
        return
    respects = list(dict.fromkeys(name for row in rows for name in row.out_of_range))
    title = "Frames outside what the filter was trained on"
    cells = []
    for row in rows:
        counts = [row.n_frames, row.n_out_of_range, *(row.out_of_range.get(r, 0) for r in respects)]
        cells.append((f"{row.fov}/{row.filter}", *(str(count) for count in counts)))
    _show(title, ["frames", "outside", *respects], cells)


def write_rows(file: Path, rows: "Sequence[ScoreRow]") -> None:
    """Write the table: one line for each type of image and group of FOVs, all scores in columns."""
    respects = list(dict.fromkeys(name for row in rows for name in row.out_of_range or ()))
    keys = list(dict.fromkeys(s.key for row in rows for s in row.statistics))
    columns = [_column(*key, what) for key in keys for what in ("mean", "std")]
    counted = ["n_out_of_range", *(f"n_out_of_range_{name}" for name in respects)]

    def lines() -> Iterable[list[Any]]:
        yield ["fov_group", "type", "n_fovs", "n_frames", *columns, *counted]
        for row in rows:
            found = {s.key: s for s in row.statistics}
            scores = [
                _number(getattr(found.get(key), what, None))
                for key in keys
                for what in ("mean", "std")
            ]
            outside = [(row.out_of_range or {}).get(name) for name in respects]
            start = [row.fov_group, row.type, row.n_fovs, row.n_frames]
            yield [*start, *scores, row.n_out_of_range, *outside]

    _write(file, lines())


def write_frames(file: Path, store: str, summary: "xr.Dataset") -> None:
    """Write the scores of each frame, as `summarize` left them in the store."""
    import xarray as xr

    from stemscale.store import SUMMARY, store_path, zarr_store

    tables: list[tuple[str, str, xr.Dataset]] = []
    for fov in summary.attrs["fov_names"]:
        for name in summary.attrs["filter_names"]:
            try:
                group = f"{SUMMARY}/{fov}/{name}"
                found = xr.open_zarr(
                    zarr_store(store_path(store)), group=group, chunks=None, consolidated=False
                )
            except FileNotFoundError:  # this FOV has no such filter
                continue
            tables.append((fov, name, found.load()))
    columns = list(dict.fromkeys(n for _, _, t in tables for n in _columns(t)))

    def lines() -> Iterable[list[Any]]:
        yield ["fov", "type", *columns]
        for fov, name, table in tables:
            known = _columns(table)
            for i in range(table.sizes["frame"]):
                cells = [_number(known[c][i]) if c in known else None for c in columns]
                yield [fov, name, *cells]

    _write(file, lines())


def _columns(table: "xr.Dataset") -> dict[str, Any]:
    """Give columns by name, one for each band; the number of the frame first."""
    found: dict[str, Any] = {"frame": table["frame"].values}
    edges = table.attrs.get("band_edges", [])
    for name, variable in table.variables.items():
        if variable.dims == ("frame",) and name != "frame":
            found[str(name)] = variable.values
        elif variable.dims == ("frame", "band"):
            for k in range(variable.shape[1]):
                found[f"{name}_{edges[k]:.0f}_{edges[k + 1]:.0f}"] = variable.values[:, k]
    return found


def _column(score: str, band: str, what: str) -> str:
    plain = band.replace(",", "").replace("–", "_")
    return "_".join(filter(None, (score, plain, what)))


def _of(row: "ScoreRow", score: str) -> "Statistic | None":
    found = [s for s in row.statistics if s.score == score and s.mean == s.mean]
    return found[0] if found else None


def _is_ratio(score: str) -> bool:
    """Whether it is a signal-to-noise ratio, shown with its scatter over frames."""
    return MEASURES[score].units == "dB" and score != _STREAK


def _heading(score: str, rows: "Sequence[ScoreRow]") -> str:
    units = next(found.units for row in rows if (found := _of(row, score)) is not None)
    heading = MEASURES[score].heading + (f" [{UNIT_LABELS.get(units, units)}]" if units else "")
    return "\n".join(wrap(heading, _HEADING_WIDTH, break_long_words=False))


def _cell(decimals: int, score: str, found: "Statistic | None") -> str:
    if found is None:
        return ""
    if found.units == "1/px":  # at most 0.5, where 1/um are tens
        decimals = 3
    return _with_scatter(found) if _is_ratio(score) else f"{found.mean:.{decimals}f}"


def _with_scatter(found: "Statistic | None") -> str:
    if found is None or found.mean != found.mean:
        return ""
    return f"{found.mean:.2f} ± {found.std if found.std == found.std else 0.0:.2f}"


def _span(ends: tuple[float, float], decimals: int) -> str:
    return f"{ends[0]:.{decimals}f} - {ends[1]:.{decimals}f}"


def _number(value: Any) -> Any:
    """Leave a cell empty where nothing is known."""
    return None if value is None or value != value else value


def _show(
    title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], *, first: str = ""
) -> None:
    """Print a table, in as many parts as it takes to show the first column and all others whole."""
    console = page_console(_WIDTH)
    widths = [_width(texts) for texts in zip((first, *headings), *rows, strict=True)]
    for part in _parts(widths[1:], room=console.width - widths[0] - _BETWEEN):
        table = Table(
            title=escape(title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
        )
        table.add_column(escape(first), overflow="fold")
        for i in part:
            table.add_column(escape(headings[i]), justify="right", no_wrap=True)
        for name, *cells in rows:
            table.add_row(escape(name), *(escape(cells[i]) for i in part))
        print_page([table], console)
        title = f"{title.removesuffix(_CONTINUED)}{_CONTINUED}"


def _width(texts: Iterable[str]) -> int:
    return max(len(line) for text in texts for line in (text or " ").splitlines())


def _parts(widths: Sequence[int], *, room: int) -> Iterator[list[int]]:
    """Give the columns that fit beside each other, at least one at a time."""
    part: list[int] = []
    for i, width in enumerate(widths):
        if part and sum(widths[j] + _BETWEEN for j in part) + width + _BETWEEN > room:
            yield part
            part = []
        part.append(i)
    yield part


def _write(file: Path, lines: Iterable[list[Any]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(lines)
