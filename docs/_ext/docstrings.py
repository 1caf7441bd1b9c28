"""Numpydoc as it is written in this project, where Sphinx would take words for something else."""

from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx


def _keep_bars(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Have |F|² mean a modulus: bars around text are substitutions in reStructuredText."""

    def is_code(line: str) -> bool:
        return "``" in line or line.lstrip().startswith((">>> ", "... "))

    lines[:] = [line if is_code(line) else line.replace("|", "\\|") for line in lines]


def _without_loose_references(app: Sphinx, doctree: nodes.document) -> None:
    """Leave types of parameters as they are: Sphinx finds `shape` or `frames` in some class."""
    for node in list(doctree.findall(addnodes.pending_xref)):
        if node.get("refdomain") == "py" and node.get("refspecific"):
            node.replace_self(node.children)


def setup(app: Sphinx) -> dict[str, bool]:
    """Add to Sphinx what this module is for."""
    app.connect("autodoc-process-docstring", _keep_bars)
    app.connect("doctree-read", _without_loose_references)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
