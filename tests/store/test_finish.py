import numpy as np

from stemscale.store import BlockRecord
from stemscale.store.finish import _gather


def test_a_frame_without_a_score_has_none_in_any_band():
    """As in a block put together from one without a slow scan and one with it."""
    scores = {"psnr_band": [None, [1.0, None, 3.0]], "psnr": [None, 2.0]}
    record = BlockRecord(block=0, start=1, stop=3, size=1, crc32=0, scores=scores)
    nan = np.nan
    by_band = _gather("psnr_band", {0: record}, (4, 3))
    np.testing.assert_array_equal(by_band, [[nan] * 3, [nan] * 3, [1, nan, 3], [nan] * 3])
    np.testing.assert_array_equal(_gather("psnr", {0: record}, (4,)), [nan, nan, 2, nan])
