"""The paper's study on frames with a known truth, by the commands that a user types."""

from stemscale.workflows.reproduce.reproduce import reproduce

__all__ = ["reproduce"]
