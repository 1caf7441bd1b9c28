"""The tables of docs/reference/store-format.md, read as a machine would."""

import re
from dataclasses import dataclass, field
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "store-format.md"
SCAN_SETTINGS = "Scan settings"


@dataclass
class Section:
    """What one heading promises: rows by name."""

    arrays: dict[str, dict[str, str]] = field(default_factory=dict)
    attributes: dict[str, dict[str, str]] = field(default_factory=dict)
    fields: dict[str, dict[str, str]] = field(default_factory=dict)


def read_sections() -> dict[str, Section]:
    """Sections by the text of their third-level heading, as `/<fov>/rapid`."""
    sections: dict[str, Section] = {}
    header: list[str] = []
    now = Section()
    for line in PAGE.read_text().splitlines():
        if line.startswith("#"):
            now = sections.setdefault(line.strip("# `"), Section())
        cells = [c.strip() for c in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            header = []
        elif not header:
            header = cells
        elif not re.fullmatch(r"-+", cells[0]):
            kind = {"array": now.arrays, "attribute": now.attributes, "field": now.fields}
            row = dict(zip(header, cells, strict=True))
            kind.get(header[0], {})[cells[0].strip("`")] = row
    return sections


def pattern(path: str) -> re.Pattern[str]:
    """What a heading's path stands for."""
    name = r"[A-Za-z0-9_-]{1,64}"
    not_summary = rf"(?!summary\b){name}"
    text = re.escape(path.strip("/")).replace("<fov>", not_summary).replace("<name>", name)
    return re.compile(text)
