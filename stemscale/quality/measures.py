"""The measures there are: one row of `MEASURES` for each, wherever it is worked out and shown.

A new measure of single frames is one more row, with the function that works it out: `summarize`
applies it to all frames, and what shows scores shows it. Those without a function come several at a
time, from `ReferenceScores`, `PaperScore`, `NeighbourScores` and the tests of whole stretches.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from stemscale.quality.common_pixels import Image
from stemscale.quality.psnr import psnr_without_background

Reference = Literal["slow scan", "truth"]

UNIT_LABELS = {"1/um": "1/µm"}
"""Units as people write them, where the store's are others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """A measure, and what it says.

    Attributes
    ----------
    name : str
        In the store.
    units : str
        CF units, "1" for none; "1/um" becomes 1/px where the pixel size is not known.
    heading : str
        Short words for the head of a table.
    long_name : str
        What it measures.
    decimals : int or None
        With how many `summarize` shows it in the terminal; None: not there.
    of_stretch : bool
        Whether it is of some frames together, and not of each.
    at_the_end : bool
        Whether it means something only where the slow scan shows the scene of the frame: of a
        series with the slow scan after it, its end.
    of_frame : callable or None
        Works it out of one frame and its reference, ndarrays (y, x), NaN = not seen. None: it
        comes with others, see above.
    against : {"slow scan", "truth"}
        Reference of ``of_frame``.
    """

    name: str
    units: str
    heading: str
    long_name: str
    decimals: int | None = None
    of_stretch: bool = False
    at_the_end: bool = False
    of_frame: Callable[[Image, Image], float] | None = None
    against: Reference = "slow scan"


_ALL = (
    Measure(
        name="psnr",
        units="dB",
        heading="PSNR",
        long_name="PSNR against the slow scan",
        decimals=2,
    ),
    Measure(
        name="psnr_matched",
        units="dB",
        heading="PSNR, matched",
        long_name="PSNR against the slow scan, gain and offset matched",
        decimals=2,
    ),
    Measure(
        name="upsnr",
        units="dB",
        heading="uPSNR",
        long_name="PSNR against the noise-free rapid frame, from its neighbours",
        decimals=2,
    ),
    Measure(
        name="psnr_truth",
        units="dB",
        heading="PSNR to truth",
        long_name="PSNR against the noise-free truth, background removed",
        decimals=2,
        of_frame=psnr_without_background,
        against="truth",
    ),
    Measure(
        name="lag_tail",
        units="1",
        heading="smear",
        long_name="smear: share of the response more than 2 px downstream, against the slow scan",
        decimals=3,
        at_the_end=True,
    ),
    Measure(
        name="lag_tail_truth",
        units="1",
        heading="smear to truth",
        long_name="smear: share of the response more than 2 px downstream, against the truth",
        decimals=3,
    ),
    Measure(
        name="streak",
        units="dB",
        heading="streak",
        long_name="streak of the smear in the spectrum, above the slow scan's own",
        decimals=1,
        at_the_end=True,
    ),
    Measure(
        name="lag_delay",
        units="px",
        heading="delay",
        long_name="delay along the scan line, against the slow scan",
        at_the_end=True,
    ),
    Measure(
        name="agreement_cutoff",
        units="1/um",
        heading="follows slow scan to",
        long_name="wave number up to which the spectrum follows the slow scan's",
        decimals=0,
        at_the_end=True,
    ),
    Measure(
        name="frc_rapid_cutoff",
        units="1/um",
        heading="confirmed to",
        long_name="wave number up to which half of the frames agree with other rapid ones",
        decimals=0,
        of_stretch=True,
    ),
    Measure(
        name="frc_cutoff",
        units="1/um",
        heading="halves agree to",
        long_name="wave number up to which two halves of the frames agree (ring correlation 1/7)",
        of_stretch=True,
    ),
    Measure(
        name="residual_lost",
        units="1",
        heading="lost or invented",
        long_name="structure lost or invented, over that of the scene",
        decimals=2,
        of_stretch=True,
    ),
    Measure(
        name="residual_likeness",
        units="1",
        heading="residuals alike",
        long_name="likeness of what two halves of the frames lost",
        of_stretch=True,
    ),
    Measure(
        name="residual_clear",
        units="1",
        heading="clearly lost",
        long_name="share of pixels at which structure was clearly lost or invented",
        of_stretch=True,
    ),
    Measure(
        name="noise_left",
        units="1",
        heading="noise left",
        long_name="noise, over that of the rapid frames",
        decimals=2,
        of_stretch=True,
    ),
    Measure(
        name="noise_along",
        units="1",
        heading="noise alike along x",
        long_name="correlation of the noise 1 px apart along the scan line",
        of_stretch=True,
    ),
    Measure(
        name="noise_across",
        units="1",
        heading="noise alike along y",
        long_name="correlation of the noise 1 px apart across the scan line",
        of_stretch=True,
    ),
    Measure(
        name="streak_rapid",
        units="dB",
        heading="streak, to rapid",
        long_name="streak of the smear in the spectrum, above that of other rapid frames",
        of_stretch=True,
    ),
    Measure(
        name="streak_truth",
        units="dB",
        heading="streak, to the truth",
        long_name="streak of the smear in the spectrum, above the truth's own",
    ),
    Measure(
        name="psnr_band",
        units="dB",
        heading="PSNR",
        long_name="PSNR against the slow scan, by band of its intensity",
    ),
)

MEASURES = {measure.name: measure for measure in _ALL}
"""By name, in the order in which columns of tables stand."""


def of_frames(against: Reference) -> Iterator[tuple[str, Callable[[Image, Image], float]]]:
    """Give name and function of the measures that are worked out frame by frame."""
    for measure in MEASURES.values():
        if measure.of_frame is not None and measure.against == against:
            yield measure.name, measure.of_frame
