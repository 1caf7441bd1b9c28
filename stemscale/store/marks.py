"""Marks beside the ledgers of a store: which groups are being changed."""

from collections.abc import Iterator
from typing import Any

from stemscale.store.files import StorePath, remove_tree
from stemscale.store.ledger import ledger_root

_MARKS = "changing.marks"  # beside the ledgers; its dot keeps it, and that of a mark, apart
_MARK = "changing.mark"  # from the names of FOVs and filters


def mark_group(root: StorePath, group: str) -> None:
    """Mark a group of the store at ``root``."""
    mark = ledger_root(root) / _MARKS / group / _MARK
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()


def marks_of(root: StorePath) -> Iterator[Any]:
    """Give the files that are the marks of a store."""
    return (ledger_root(root) / _MARKS).rglob(_MARK)


def marked_groups(root: StorePath) -> set[str]:
    """Give the paths of the groups that are marked."""
    folder = ledger_root(root) / _MARKS
    return {mark.parent.relative_to(folder).as_posix() for mark in marks_of(root)}


def drop_marks(root: StorePath, group: str) -> None:
    """Take away the mark of a group, and of all below it."""
    remove_tree(ledger_root(root) / _MARKS / group)
