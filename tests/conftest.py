"""What a test may need beyond Python: skipped with the reason, or required."""

import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec

import pytest
from hypothesis import settings

# How long an example takes is a matter of what else the machine does.
settings.register_profile("stemscale", deadline=None)
settings.load_profile("stemscale")

REQUIRE_ALL = os.environ.get("STEMSCALE_REQUIRE_ALL") == "1"


def _chromium() -> str:
    return "" if shutil.which("chromium") else "needs the program chromium"


def _docs() -> str:
    needed = ("sphinx", "furo", "myst_nb", "sphinx_copybutton", "sphinx_design")
    missing = [name for name in needed if find_spec(name) is None]
    return f"needs the extra docs: {', '.join(missing)}" if missing else ""


def _gpu() -> str:
    import torch

    return "" if torch.cuda.is_available() else "needs a CUDA device"


def _prometheus() -> str:
    return "" if shutil.which("promtool") else "needs promtool: Debian's prometheus"


def _slurm() -> str:
    from slurm.server import what_is_missing

    return what_is_missing()


def _s3() -> str:
    from objectstore.server import what_is_missing

    return what_is_missing()


_NEEDS: dict[str, Callable[[], str]] = {
    "browser": _chromium,
    "docs": _docs,
    "gpu": _gpu,
    "prometheus": _prometheus,
    "s3": _s3,
    "slurm": _slurm,
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, missing in _NEEDS.items():
        if item.get_closest_marker(marker) is None:
            continue
        if reason := missing():
            if REQUIRE_ALL and marker != "gpu":
                pytest.fail(f"STEMSCALE_REQUIRE_ALL is set, but this test {reason}")
            pytest.skip(reason)
