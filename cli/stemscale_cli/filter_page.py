"""The pages of ``stemscale filters``: readable without colour, the same when piped."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from stemscale.filter_card import FilterCard
from stemscale_cli.output import duration, plain, size
from stemscale_cli.terminal_page import (
    SETTINGS,
    add_row,
    heading,
    indented,
    names_in_short,
    print_page,
    rows_of,
    table_of,
)

Section = dict[str, str]  # label: what it says

_FOVS = 20  # that are listed
_UNKNOWN = "not on the card"
_NORMALISATIONS = {
    "series": "by centre and spread of the series",
    "frame_min_max": "each frame by its own minimum and maximum",
    "frame_equalized": "each frame equalised by regions: the output is not quantitative",
}
_RONNEBERGER = {  # what a network has unless it says otherwise
    "down_convolutions": 2,
    "lowest_convolutions": 2,
    "up_convolutions": 2,
    "skip": "concat",
}
_TARGETS = {
    "slow": "the slow scan",
    "dcfi": "the average of the series (DCFI)",
    "frames": "other frames of the same FOV (the smear stays)",
    "truth": "the simulated frame without noise or lag",
}
_RANGES = {
    "intensity_counts": ("intensity, 1 % to 99 %", "counts"),
    "center_counts": ("centre of a series", "counts"),
    "spread_counts": ("spread of a series", "counts"),
    "contrast": ("contrast, spread / centre", ""),
    "noise": ("noise of a frame / spread", ""),
    "lag_tail": ("smear before", ""),
}


def show_card(found: FilterCard) -> None:
    """Print what a filter file says of itself.

    Parameters
    ----------
    found : FilterCard
    """
    print_page(_page(found))


def show_cards(found: Sequence[FilterCard]) -> None:
    """Print what filter files say of themselves side by side; a ``*`` marks what differs.

    Parameters
    ----------
    found : sequence of FilterCard
        Two or more.
    """
    table = table_of("", "")
    for one in found:  # without a least width: paths are long
        table.add_column(Text(plain(str(one.file))), overflow="fold")
    every = [_sections(f) for f in found]
    differ = set(differing(found))
    for title in every[0]:
        rows = _labels(every, title)
        if not rows:
            continue
        if title:
            table.add_row()
            table.add_row("", Text(title, style="bold"))
        for label in rows:
            mark = "*" if _name(title, label) in differ else ""
            add_row(table, mark, label, *(s[title].get(label, "-") for s in every))
    print_page([indented(table), Text(f"\n {len(differ) or 'none'} of the rows differ (*)")])


def differing(found: Sequence[FilterCard]) -> list[str]:
    """Name the rows of the comparison in which filters differ.

    Parameters
    ----------
    found : sequence of FilterCard

    Returns
    -------
    list of str
        "section: label", in the order of the page.
    """
    every = [_sections(f) for f in found]
    return [
        _name(title, label)
        for title in every[0]
        for label in _labels(every, title)
        if len({s[title].get(label) for s in every}) > 1
    ]


def as_object(found: FilterCard) -> dict[str, Any]:
    """Give what ``--json`` prints of a filter file.

    Parameters
    ----------
    found : FilterCard

    Returns
    -------
    dict
        ``content_checked`` is always true: a file that was changed is refused.
    """
    return {
        "file": found.file,
        "sha256": found.sha256,
        "bytes": found.n_bytes,
        "parameters": found.parameters,
        "content_checked": True,
        "card": dict(found.card),
    }


def _page(found: FilterCard) -> Iterable[RenderableType]:
    sections = _sections(found)
    for title, rows in sections.items():
        listed = _fovs(found.card) if title == "Trained on" else None
        if not rows and listed is None:
            continue
        if title:
            yield heading(title)
        yield rows_of(rows)
        if listed is not None:
            yield Text()
            yield indented(listed)


def _sections(found: FilterCard) -> dict[str, Section]:
    """Rows under each heading, without those of which the card says nothing."""
    card = found.card
    sections = {
        "": {
            "file": str(found.file),
            "size": size(found.n_bytes),
            "sha256": found.sha256,
            "content": "as it was written (its hash fits)",
            "made by": f"stemscale {card.get('stemscale_version', _UNKNOWN)}",
            "date": str(card.get("date", _UNKNOWN)),
            "licence": str(card.get("licence", _UNKNOWN)),
        },
        "Network": _network(found),
        "Trained on": _trained_on(card),
        "Scan settings": _settings(card),
        "Seen in training": _seen(card),
        "Training": _training(card),
        "Scores": _scores(card),
    }
    return {title: {k: v for k, v in rows.items() if v} for title, rows in sections.items()}


def _network(found: FilterCard) -> Section:
    card = found.card
    architecture = _mapping(card.get("architecture"))
    arguments = _mapping(architecture.get("arguments"))
    arguments = {k: v for k, v in arguments.items() if _RONNEBERGER.get(k) != v}
    normalisation, target = str(card["normalisation"]), str(card.get("target", ""))
    return {
        "architecture": ", ".join(
            [str(architecture.get("name", _UNKNOWN)), *(_word(k, v) for k, v in arguments.items())]
        ),
        "parameters": f"{found.parameters:,}",
        "frames are scaled": _NORMALISATIONS.get(normalisation, normalisation),
        "a frame becomes": _TARGETS.get(target, target or _UNKNOWN),
    }


def _word(name: str, value: Any) -> str:
    label = name.replace("_", " ")
    if isinstance(value, bool):
        return label if value else f"not {label}"
    return f"{label} {value}"


def _trained_on(card: Mapping[str, Any]) -> Section:
    fovs = _listed(card)
    training = _mapping(card.get("training"))
    hashes = sorted(str(f.get("content_hash")) for f in fovs if f.get("content_hash"))
    together = hashlib.sha256("\n".join(hashes).encode()).hexdigest()[:12]
    corrected = card.get("corrected")
    return {
        "stores": names_in_short(sorted({str(f["store"]) for f in fovs if f.get("store")})),
        "FOVs": names_in_short(training.get("fovs", [])),
        "held out": names_in_short(training.get("validation_fovs", [])),
        "held out are": str(training.get("held_out", "")),
        "frames": _count(training.get("frames")),
        "distortion": "" if corrected is None else "corrected" if corrected else "not corrected",
        "content of all": f"{together} ({len(hashes)} FOVs)" if hashes else "",
    }


def _fovs(card: Mapping[str, Any]) -> Table | None:
    """List the FOVs with the content that was there, those that were held out as well."""
    fovs = _listed(card)
    if not fovs:
        return None
    held_out = set(_mapping(card.get("training")).get("validation_fovs", []))
    held_out -= set(_mapping(card.get("training")).get("fovs", []))
    table = table_of("FOV", "store", "content", "use")
    for fov in fovs[:_FOVS]:
        name = str(fov.get("fov", _UNKNOWN))
        content = str(fov.get("content_hash") or _UNKNOWN)[:19]
        use = "held out" if name in held_out else "trained on"
        add_row(table, name, str(fov.get("store", _UNKNOWN)), content, use)
    if len(fovs) > _FOVS:
        add_row(table, f"and {len(fovs) - _FOVS} more, see --json")
    return table


def _settings(card: Mapping[str, Any]) -> Section:
    settings = _mapping(card.get("scan_settings"))
    found = {}
    if settings.get("n_x") and settings.get("n_y"):
        found["pixels"] = f"{settings['n_y']} x {settings['n_x']}"
    for name, (label, unit) in SETTINGS.items():
        if settings.get(name) is not None:
            found[label] = f"{_number(settings[name])} {unit}".strip()
    return found


def _seen(card: Mapping[str, Any]) -> Section:
    seen = _mapping(card.get("seen"))
    found = {}
    for name, (label, unit) in _RANGES.items():
        if seen.get(name):
            low, high = (_number(v) for v in seen[name])
            found[label] = (low if low == high else f"{low} to {high}") + f" {unit}".rstrip()
    frames = _mapping(seen.get("frames"))
    if frames:
        found["single frames"] = (
            f"{_count(frames.get('count'))} of {_count(frames.get('series'))} FOVs"
        )
    spectrum = _mapping(seen.get("spectrum"))
    if spectrum:
        low, high = spectrum["ln_power_min"], spectrum["ln_power_max"]
        middles = spectrum["wave_number_per_px"]
        found["ln power along x"] = ", ".join(
            f"{_number((low[i] + high[i]) / 2, 3)} at {_number(middles[i], 2)} /px"
            for i in (0, len(low) // 4, len(low) // 2, len(low) - 1)
        )
    return found


def _training(card: Mapping[str, Any]) -> Section:
    training, recipe = _mapping(card.get("training")), _mapping(card.get("recipe"))
    seconds = training.get("seconds")
    return {
        "preset": str(card.get("preset", "")),
        "started from": str(_mapping(card.get("started_from")).get("filter", "")),
        "epochs": _count(training.get("epochs")),
        "patches": _count(training.get("patches")),
        "patch": f"{recipe['patch_px']} px" if "patch_px" in recipe else "",
        "rate": _number(recipe["rate"]) if "rate" in recipe else "",
        "time": "" if seconds is None else duration(float(seconds)),
        "device": str(training.get("device", "")),
        "threads": _count(training.get("threads")),
        "seed": "" if training.get("seed") is None else str(training["seed"]),
        "ended early": str(training.get("stopped", "")),
    }


def _scores(card: Mapping[str, Any]) -> Section:
    scores = _mapping(card.get("scores"))
    found = {}
    for name, label in (
        ("validation_psnr_db", "filtered, held out"),
        ("validation_psnr_rapid_db", "rapid frames, held out"),
    ):
        if isinstance(scores.get(name), int | float):
            found[label] = f"{scores[name]:.2f} dB"
    if isinstance(scores.get("training_loss"), int | float):
        found["loss in training"] = _number(scores["training_loss"])
    found["measure"] = str(scores.get("measure", ""))
    return found


def _listed(card: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [f for f in card.get("fovs") or [] if isinstance(f, Mapping)]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: Any, digits: int = 4) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    whole = float(value).is_integer() and abs(value) < 1e15
    return f"{int(value):,}" if whole else f"{value:,.{digits}g}"


def _count(value: Any) -> str:
    return "" if value is None else _number(value)


def _labels(every: Sequence[Mapping[str, Section]], title: str) -> list[str]:
    labels = dict.fromkeys(label for s in every for label in s[title])
    return [label for label in labels if label != "file"]  # that is the heading


def _name(title: str, label: str) -> str:
    return f"{title}: {label}" if title else label
