"""Several verbs in a row: a folder comes in; what a user would get by typing them goes out."""

from stemscale.workflows.demo import demo

__all__ = ["demo"]
