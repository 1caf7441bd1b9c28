"""A folder of microscope files comes in; what filters make of them, without truth, goes out."""

from stemscale.workflows.real.run import reproduce_series

__all__ = ["reproduce_series"]
