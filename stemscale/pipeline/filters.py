"""What ``--filter`` may be, resolved to something that can be run and recognised again."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from stemscale.acquisition import check_name
from stemscale.denoising import CLASSICAL, filter_hash, load_filter
from stemscale.errors import FilterError, SettingsError
from stemscale.shipped import SHIPPED, find_filter

DEFAULT = "standard"
WORDS: dict[str, str] = {
    **SHIPPED,
    "dcfi": "average of aligned frames (row D3); --window N for a rolling one, --weighted",
    **CLASSICAL,
    "none": "the distortion-corrected frames alone",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class FilterChoice:
    """One filter, as `process` uses it.

    Attributes
    ----------
    kind : str
        "file", or one of the words.
    label : str
        Name of the file, or the word.
    sha256 : str or None
        Of the filter file.
    window : int or None
        Frames averaged around each frame; None averages the whole series to one.
    weighted : bool
        Whether averaged frames weigh by their quality.
    frames_in : int
        Frames that a filter file sees at once.
    card : mapping or None
        What the filter file says of itself.
    file : Path or None
        Where it is, on this machine.
    """

    kind: str
    label: str
    sha256: str | None = None
    window: int | None = None
    weighted: bool = False
    frames_in: int = 1
    card: Mapping[str, Any] | None = None
    file: Path | None = None

    @property
    def whole_series(self) -> bool:
        """Whether all frames become one."""
        return self.kind == "dcfi" and self.window is None

    @property
    def classical(self) -> bool:
        """Whether its parameters are found for each FOV."""
        return self.kind in CLASSICAL

    @property
    def halo(self) -> int:
        """Neighbours needed on either side of a frame."""
        return (self.window or self.frames_in) // 2

    def to_run(self) -> dict[str, Any]:
        """Give what tells this filter from another one."""
        run = {k: v for k, v in asdict(self).items() if k not in ("card", "label", "file")}
        if not self.weighted:  # runs of before there was such a choice stay the same
            del run["weighted"]
        if self.frames_in == 1:
            del run["frames_in"]
        return run

    @classmethod
    def from_run(cls, run: Mapping[str, Any]) -> Self:
        """Read back what `to_run` gave."""
        return cls(**run, label="")


def choose_filter(
    chosen: str | Path | None, *, window: int | None = None, weighted: bool = False
) -> FilterChoice:
    """Resolve what ``--filter`` names.

    Parameters
    ----------
    chosen : str, Path or None
        A file if it ends in ``.safetensors``, else one of `WORDS`; `DEFAULT` if None.
    window : int, optional
        For ``dcfi``: odd number of frames.
    weighted : bool
        For ``dcfi``: whether frames weigh by their quality.

    Returns
    -------
    FilterChoice

    Raises
    ------
    FilterError
        If the word is unknown, the file cannot be used, or the package that
        the word needs is not installed.
    SettingsError
        If the window is no odd number above 1, or given to another filter, as are weights.
    """
    chosen = DEFAULT if chosen is None else chosen
    if window is not None and (str(chosen) != "dcfi" or window < 3 or window % 2 == 0):
        raise SettingsError(f"--window {window}: an odd number from 3 on, with --filter dcfi only")
    if weighted and str(chosen) != "dcfi":
        raise SettingsError("--weighted is for averages: with --filter dcfi only")
    if str(chosen).endswith(".safetensors") or str(chosen) in SHIPPED:
        path = find_filter(chosen)
        card = load_filter(path).card
        frames_in = int(card["architecture"]["arguments"]["frames_in"])
        return FilterChoice(
            kind="file",
            label=Path(chosen).name,
            sha256=filter_hash(path),
            frames_in=frames_in,
            card=card,
            file=path,
        )
    if str(chosen) not in WORDS:
        listed = "; ".join(f"{word} = {what}" for word, what in WORDS.items())
        raise FilterError(
            f"filter {str(chosen)!r} is unknown: give a file that ends in .safetensors, or one "
            f"of: {listed}"
        )
    if str(chosen) == "bm3d" and find_spec("bm3d") is None:
        raise FilterError(
            "filter 'bm3d' needs the package bm3d, whose licence allows non-commercial use only: "
            "pip install 'stemscale[bm3d]'"
        )
    return FilterChoice(kind=str(chosen), label=str(chosen), window=window, weighted=weighted)


def output_name(choice: FilterChoice, name: str | None) -> str:
    """Name of the group that the frames are written to: as asked, else the word or file's stem."""
    return check_name(name or choice.label.removesuffix(".safetensors"), kind="filter name")
