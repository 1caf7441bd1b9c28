"""The directive ``commands``: a section for every command of the application that is installed."""

from typing import Any

import typer
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from stemscale_cli.app import app as application


class Commands(SphinxDirective):
    """Usage, words, arguments and options of every command, as `--help` has them."""

    def run(self) -> list[nodes.Node]:
        root = typer.main.get_command(application)
        return [self._section(path, command) for path, command in _commands(root, ["stemscale"])]

    def _section(self, path: list[str], command: Any) -> nodes.section:
        name = " ".join(path)
        section = nodes.section("", nodes.title("", name), ids=["-".join(path)], names=[name])
        section["support_smartquotes"] = False  # they make one dash of the two of an option
        context = command.context_class(command, info_name=name)
        usage = command.get_usage(context).removeprefix("Usage: ")
        section += nodes.literal_block(usage, usage, language="text")
        for paragraph in (command.help or "").split("\n\n"):
            section += nodes.paragraph("", " ".join(paragraph.split()))
        rows = [record for p in command.get_params(context) if (record := _row(p, context))]
        if rows:
            section += _table(rows)
        self.env.note_dependency(__file__)
        return section


def _commands(command: Any, path: list[str]) -> list[tuple[list[str], Any]]:
    """All commands below one, in the order of `--help`, itself first."""
    found = [(path, command)]
    for name, below in getattr(command, "commands", {}).items():
        found += _commands(below, [*path, name])
    return found


def _row(parameter: Any, context: Any) -> tuple[str, str] | None:
    if "--help" in parameter.opts:
        return None
    record = parameter.get_help_record(context)
    return None if record is None else (record[0], record[1])


def _table(rows: list[tuple[str, str]]) -> nodes.table:
    body = nodes.tbody()
    for option, words in rows:
        cells = [nodes.literal(option, option), nodes.inline("", " ".join(words.split()))]
        body += nodes.row("", *(nodes.entry("", nodes.paragraph("", "", c)) for c in cells))
    group = nodes.tgroup("", nodes.colspec(colwidth=30), nodes.colspec(colwidth=70), cols=2)
    group += body
    return nodes.table("", group, classes=["options"])


def setup(app: Sphinx) -> dict[str, bool]:
    """Add to Sphinx what this module is for."""
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
