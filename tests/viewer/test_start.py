"""What the viewer waits for before it can show a page."""

import subprocess
import sys

LATER = ("torch", "matplotlib", "scipy.signal", "scipy.optimize", "skimage")


def test_no_page_waits_for_what_only_some_images_need():
    code = "import sys, stemscale.viewer.session; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = set(found.stdout.split())
    assert "bokeh.server" in loaded or "bokeh.models" in loaded
    assert not loaded & set(LATER)
