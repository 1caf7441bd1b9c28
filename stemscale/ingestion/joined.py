"""Several sources that make one series."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from stemscale.acquisition import FrameColumn, Frames, known_column, median_interval
from stemscale.errors import InputFileError
from stemscale.ingestion.source import FrameSource
from stemscale.ingestion.tags import columns_from_tags


class JoinedSource:
    """Sources that make one series, in the order given.

    Parameters
    ----------
    parts : iterable of FrameSource
        At least one, all of one shape and dtype; opened one after the other.

    Raises
    ------
    InputFileError
        If shape or dtype differ.

    Attributes
    ----------
    left_out : mapping of str to mapping
        By file, which of its signals are no series of real images, and why.
    """

    def __init__(self, parts: Iterable[FrameSource]) -> None:
        self._parts: list[FrameSource] = []
        columns: list[tuple[Mapping[str, FrameColumn], Mapping[str, FrameColumn]]] = []
        for part in parts:
            if self._parts:
                _check_alike(part, self._parts[0])
            else:
                self.original_metadata = part.original_metadata
            said = columns_from_tags(part.original_metadata, part.n_frames)
            columns.append((said, part.per_frame))
            # Of thousands of files only what is needed to read them is kept.
            part.per_frame, part.original_metadata = {}, {}
            self._parts.append(part)
        first, n_parts = self._parts[0], len(self._parts)
        self._starts = np.cumsum([0, *(p.n_frames for p in self._parts)])
        self.name = first.name if n_parts == 1 else f"{first.name} and {n_parts - 1} more"
        self.detector = first.detector
        self.left_out: Mapping[str, Mapping[str, str]] = {}
        self.n_frames = int(self._starts[-1])
        self.dtype = first.dtype
        self.start_time = first.start_time
        self.per_frame: Mapping[str, FrameColumn] = (
            columns[0][1] if n_parts == 1 else self._joined([{**a, **b} for a, b in columns])
        )
        self.settings = first.settings
        interval = median_interval(self.per_frame.get("time")) if n_parts > 1 else None
        if first.settings.frame_time_s is None and interval is not None:
            self.settings = replace(first.settings, frame_time_s=interval)

    def _joined(self, columns: list[Mapping[str, FrameColumn]]) -> dict[str, FrameColumn]:
        times = [c.get("time") for c in columns]
        lengths = [p.n_frames for p in self._parts]
        names = dict.fromkeys(n for c in columns for n in c if n != "time")
        found = {n: join_columns([c.get(n) for c in columns], lengths) for n in names}
        found = {n: c for n, c in found.items() if c.words or len(np.unique(c.values)) > 1}
        # Each file counts from its own first frame: clock times tell when that was.
        began = [p.start_time for p in self._parts]
        if all(b is not None for b in began):
            after = [(b - began[0]) / 1e9 for b in began if b is not None and began[0] is not None]
            own = [_own_time(t, p) for t, p in zip(times, self._parts, strict=True)]
            if all(o is not None for o in own):
                parts = [a + o for a, o in zip(after, own, strict=True) if o is not None]
                found["time"] = known_column("time", np.concatenate(parts))
                clock = np.round(found["time"].values * 1e9).astype(np.int64) + (began[0] or 0)
                found.setdefault("timestamp", known_column("timestamp", clock))
        return found

    def read(self, start: int, stop: int) -> Frames:
        """Read frames ``start`` to ``stop`` (exclusive), shape (frame, y, x)."""
        pieces = []
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        for part, begin in zip(self._parts[first:], self._starts[first:], strict=False):
            if begin >= stop:
                break
            a, b = max(start - begin, 0), min(stop - begin, part.n_frames)
            piece = part.read(int(a), int(b))
            if piece.shape[1:] != self.settings.shape:
                raise InputFileError(
                    f"{part.name} holds frames of {piece.shape[1:]}, but {self._parts[0].name} "
                    f"{self.settings.shape}: ingest them as two FOVs"
                )
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def _check_alike(part: FrameSource, first: FrameSource) -> None:
    if part.settings.shape != first.settings.shape or part.dtype != first.dtype:
        raise InputFileError(
            f"{part.name} holds {part.settings.shape} {part.dtype}, but {first.name} "
            f"{first.settings.shape} {first.dtype}: ingest them as two FOVs"
        )


def _own_time(column: FrameColumn | None, part: FrameSource) -> Any:
    if column is not None:
        return column.values
    if part.n_frames == 1:
        return np.zeros(1)
    interval = part.settings.frame_interval_s
    return None if interval is None else np.arange(part.n_frames) * interval


def join_columns(columns: Iterable[FrameColumn | None], lengths: Iterable[int]) -> FrameColumn:
    """Put the columns of one quantity behind each other.

    Parameters
    ----------
    columns : iterable of FrameColumn or None
        Of each part; None where a part does not have the quantity. At least one has it.
    lengths : iterable of int
        Frames of each part.

    Returns
    -------
    FrameColumn
        With missing values where there is no column; words are coded anew, and numbers are words
        where another part has words.
    """
    columns, lengths = list(columns), list(lengths)
    first = next(c for c in columns if c is not None)
    worded = next((c for c in columns if c is not None and c.words), None)
    if worded is not None:
        texts = [_texts(c, n) for c, n in zip(columns, lengths, strict=True)]
        known = dict.fromkeys(w for c in columns if c is not None for w in c.words)
        words = tuple(dict.fromkeys((*known, *(w for part in texts for w in part))))
        codes = {word: code for code, word in enumerate(words)}
        coded = np.array([codes[w] for part in texts for w in part], dtype=np.int64)
        return replace(worded, values=coded, words=words)
    missing = np.iinfo(np.int64).min if first.values.dtype.kind == "i" else np.nan
    values = [
        np.full(n, missing, dtype=first.values.dtype) if c is None else c.values
        for c, n in zip(columns, lengths, strict=True)
    ]
    return replace(first, values=np.concatenate(values))


def _texts(column: FrameColumn | None, n_frames: int) -> list[str]:
    """Give the words of a column, or its numbers as words; "" where they are missing."""
    if column is None:
        return [""] * n_frames
    if column.words:
        return [column.words[v] for v in column.values]
    return ["" if np.isnan(v) else f"{v:g}" for v in column.values]
