"""How many cores this process may use."""

import os


def usable_cores() -> int:
    """Count the cores that the system lets this process use; at least 1."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
