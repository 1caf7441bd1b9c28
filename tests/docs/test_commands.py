"""Commands in the documentation are such that the application takes them."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from stemscale_cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    p
    for p in [ROOT / "README.md", ROOT / "deploy" / "README.md", *(ROOT / "docs").rglob("*.md")]
    if "_build" not in p.parts
)
SHELL = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(stemscale [a-z][^`\n]*)`")
WHOLE = re.compile(r"^[^\[{]*(STORE|\.zarr|\.safetensors)[^\[{]*$")  # no syntax, no mere mention
PLACEHOLDERS = {"FILTER": "standard", "SECONDS": "1"}


def commands_of(page):
    """Commands as words, without comments, from blocks of shell and from the text."""
    text = page.read_text()
    lines = [
        line
        for block in SHELL.findall(text)
        for line in block.replace("\\\n", " ").splitlines()
        if line.strip().startswith("stemscale ")
    ]
    inline = [c for c in INLINE.findall(SHELL.sub("", text)) if WHOLE.search(c)]
    return [shlex.split(line, comments=True)[1:] for line in lines + inline]


CASES = [(p.relative_to(ROOT).as_posix(), words) for p in PAGES for words in commands_of(p)]


def parse(words):
    """Read a command as the application does, and stop before it runs."""
    command, name = typer.main.get_command(app), "stemscale"
    while getattr(command, "commands", None):
        name, *words = words
        assert name in command.commands, f"there is no command {name}"
        command = command.commands[name]
    words = [PLACEHOLDERS.get(w, w) for w in words]
    return command.make_context(name, words)


@pytest.mark.parametrize(
    ("page", "words"), CASES, ids=[f"{p}: {' '.join(w)[:60]}" for p, w in CASES]
)
def test_a_command_in_the_documentation_is_taken(page, words):
    parse(words)


def test_all_pages_are_looked_at():
    pages = {page for page, _ in CASES}
    assert {"README.md", "deploy/README.md", "docs/tutorial.md", "docs/howto/live.md"} <= pages
    assert len(CASES) > 60


def test_a_wrong_option_would_be_found():
    with pytest.raises(Exception, match="--nonsense"):
        parse(["process", "run.zarr", "--nonsense"])
