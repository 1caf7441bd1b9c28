"""The paper's study on frames with a known truth, by the commands that a user types."""

from stemscale.workflows.study.run import reproduce

__all__ = ["reproduce"]
