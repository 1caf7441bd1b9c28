"""A source whose file errs."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stemscale.ingestion.source import FrameSource


def corrected_source(source: FrameSource, changes: Mapping[str, Any]) -> FrameSource:
    """Correct a series whose file says too little of its scan settings, or says them wrong.

    Parameters
    ----------
    source : FrameSource
        Stays as it is.
    changes : mapping
        Fields of `ScanSettings`; None leaves what the file says.

    Returns
    -------
    FrameSource
        The same frames, of those settings.
    """
    found = copy.copy(source)
    found.settings = replace(source.settings, **{k: v for k, v in changes.items() if v is not None})
    return found
