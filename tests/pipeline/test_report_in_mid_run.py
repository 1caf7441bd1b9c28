"""A page of frames that are being filtered, or were when that was killed."""

import numpy as np
import pytest

import stemscale
from stemscale.pipeline import BlockDone
from stemscale.store import DONE
from stemscale.views.store_view import read_store


class KilledError(Exception):
    """Ends a run as a kill does: nothing is written after it."""


def test_a_report_shows_the_frames_that_are_done_of_a_run(calibrated, client, tmp_path):
    seen = []

    def look(event):
        if isinstance(event, BlockDone):
            seen.extend(read_store(calibrated, only={"fov01"}).fovs[0].filters)
            raise KilledError

    with pytest.raises(KilledError):
        stemscale.process(
            calibrated, filter="gaussian", fovs=["fov01"], client=client, listener=look
        )
    (found,) = seen
    assert found.state == "partial"
    assert found.count(DONE) >= 3
    assert np.isfinite(found.done_scores("psnr")).all()
    page = stemscale.report(calibrated, tmp_path / "s.html", fovs=["fov01"])
    assert 'alt="gaussian, fov01, frame' in page.read_text()
