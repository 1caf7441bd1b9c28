"""Filters that nobody trains: a few frames and a slow scan tune them, then they go over frames.

Each module is one filter, of one shape: ``tune(frames, reference)`` gives parameters that JSON can
hold, ``apply(frames, parameters)`` filters frames one by one.
"""

from stemscale.denoising.classical.by_name import (
    CLASSICAL,
    apply_classical,
    tune_classical,
)

__all__ = ["CLASSICAL", "apply_classical", "tune_classical"]
