"""What pages of results are made of: tables in Markdown, and all of it as one HTML file."""

import base64
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from markdown_it import MarkdownIt

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem;
  color: #1d2330; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .9rem; }
td, th { padding: .25rem .7rem; border-bottom: 1px solid #d8dce3; text-align: left;
  vertical-align: top; }
img { max-width: 100%; }
pre { background: #f5f6f8; padding: .7rem; overflow-x: auto; font-size: .8rem; }
"""
_KINDS = {"png": "png", "jpg": "jpeg", "webp": "webp"}


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table in Markdown.

    Parameters
    ----------
    headings : sequence of str
    rows : sequence of sequence of str
        Cells of each line, as many as there are headings.

    Returns
    -------
    str
    """

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([line(headings), line(["---"] * len(headings)), *(line(r) for r in rows)])


def write_results(title: str, parts: Iterable[str], folder: Path) -> Path:
    """Write a page in Markdown beside its pictures, and all of it as one HTML file.

    Parameters
    ----------
    title : str
        For the window.
    parts : iterable of str
        Of the page, in Markdown; empty ones are left out.
    folder : Path
        Holds the pictures, and takes ``index.md``.

    Returns
    -------
    Path
        The HTML file, named as the folder is, beside it.
    """
    text = "\n\n".join(part for part in parts if part) + "\n"
    (folder / "index.md").write_text(text, encoding="utf-8")
    page = folder.with_name(f"{folder.name}.html")
    page.write_text(html_page(title, text, folder), encoding="utf-8")
    return page


def html_page(title: str, text: str, folder: Path) -> str:
    """Turn a page in Markdown into one HTML file that holds its pictures.

    Parameters
    ----------
    title : str
        For the window.
    text : str
        The page, which names pictures, PNG, JPEG (``.jpg``) or WebP, by their files.
    folder : Path
        Where these lie.

    Returns
    -------
    str
    """
    body = MarkdownIt("commonmark").enable("table").render(text)

    def embed(match: re.Match[str]) -> str:
        data = base64.b64encode((folder / match[1]).read_bytes()).decode()
        return f'src="data:image/{_KINDS[match[2]]};base64,{data}"'

    body = re.sub(r'src="([^":]+\.(png|jpg|webp))"', embed, body)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style></head>"
        f"<body>{body}</body></html>\n"
    )
