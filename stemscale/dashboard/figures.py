"""Figures of one run, from its events: how far it is, how fast, how good."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stemscale.dashboard.curves import Curve, StepHistory
from stemscale.dashboard.rate import AT_LEAST, LATELY_S, first_lately, recent_rate

_DONE, _FAILED, _DAMAGED = 1, 2, 3
_CODES = {"done": _DONE, "failed": _FAILED, "damaged": _DAMAGED}


@dataclass(kw_only=True)
class SeriesFigures:
    """How far one series is.

    Attributes
    ----------
    name : str
        "fov01/filtered/standard".
    frames, done, failed, damaged : int
        In all; made, in earlier runs too; given up; not made since their raw data are damaged.
    steps : dict of str to float
        Seconds by step, of this run [s].
    psnr, psnr_rapid : Curve
        Against frame, after and before the filter [dB].
    """

    name: str
    frames: int
    done: int
    failed: int
    fingerprint: str
    block: int  # frames in a block
    codes: bytearray  # of each block, what this run made of it
    psnr: Curve
    psnr_rapid: Curve
    damaged: int = 0
    steps: dict[str, float] = field(default_factory=dict)
    short: dict[int, int] = field(default_factory=dict)  # frames of blocks that had fewer
    scores: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=AT_LEAST))

    @property
    def left(self) -> int:
        """Frames to be made yet."""
        return self.frames - self.done - self.failed - self.damaged

    @property
    def psnr_db(self) -> float | None:
        """Mean over the frames of the last ten blocks that have a score [dB]."""
        count = sum(n for _, n in self.scores)
        return sum(s for s, _ in self.scores) / count if count else None

    def grow(self, frames: int) -> None:
        """Take that the series has so many frames by now."""
        if frames > self.frames:
            self.frames = frames
            self.codes.extend(bytes(-(-frames // self.block) - len(self.codes)))
            self.psnr.grow(frames)
            self.psnr_rapid.grow(frames)

    def count(self, code: int, frames: int) -> None:
        """Count frames as done, failed or damaged; negative, take them back."""
        self.done += frames * (code == _DONE)
        self.failed += frames * (code == _FAILED)
        self.damaged += frames * (code == _DAMAGED)


class RunFigures:
    """Figures of a run; of bounded size, whatever the number of its blocks.

    Parameters
    ----------
    started : mapping
        The event of `run_started`.
    now : float
        When it came [s].
    before : RunFigures, optional
        An earlier run into the same store: what it showed of the same series stays to be seen.
    """

    def __init__(
        self, started: Mapping[str, Any], now: float, before: "RunFigures | None" = None
    ) -> None:
        self.run = str(started["run"])
        self.store = str(started["store"])
        self.label = str(started["label"])
        self.client = str(started["client"])
        self.series = {s["series"]: _series(s, before) for s in started["series"]}
        self.began = self.heard = now  # heard: when the last event came
        self.ended: float | None = None
        self.frames_made = 0
        self.steps = StepHistory()
        self.newest = next(iter(self.series), "")
        self.picture: dict[str, Any] | None = None
        self.waiting = ""
        self.events = 0  # taken so far: a page draws anew when there are more
        self._commits: deque[tuple[float, int, str]] = deque()

    def block(self, event: Mapping[str, Any], now: float) -> None:
        """Take a block that was made or given up; one that was counted before counts no more."""
        self._hear(now)
        series = self.series.get(event["series"])
        if series is None:
            return
        frames, block = int(event["frames"]), int(event["block"])
        series.grow(block * series.block + frames)  # it may be followed as it grows
        code, was = _CODES[event["status"]], series.codes[block]
        before = series.short.get(block, frames)  # the last block, made with fewer frames
        if was in (code, _DONE) and before >= frames:
            return
        series.codes[block] = code
        series.short.pop(block, None)
        if frames < series.block:
            series.short[block] = frames
        series.count(was, -before)
        series.count(code, frames)
        self.waiting = ""
        if code == _FAILED:
            return
        for step, spent in event["seconds"].items():
            series.steps[step] = series.steps.get(step, 0.0) + spent
        if event["seconds"]:
            self.steps.add(event["seconds"])
        if code == _DONE:
            self.newest = series.name
            self.frames_made += frames
            self._commit(now, frames, series.name)
            series.psnr.add(event["start"], event["psnr"])
            series.psnr_rapid.add(event["start"], event["psnr_rapid"])
            known = [score for score in event["psnr"] if score is not None]
            if known:
                series.scores.append((sum(known), len(known)))
        if event["picture"] is not None:
            self.picture = {**event["picture"], "series": series.name}

    def wait(self, reason: str, now: float) -> None:
        """Take that the run waits for something."""
        self._hear(now)
        self.waiting = reason

    def end(self, now: float) -> None:
        """Take that the run is over; blocks that were being made then may follow."""
        self.ended = self.ended or now
        self.waiting = ""
        self.events += 1

    @property
    def frames(self) -> int:
        """Frames of all series."""
        return sum(s.frames for s in self.series.values())

    @property
    def done(self) -> int:
        """Frames made, in earlier runs too."""
        return sum(s.done for s in self.series.values())

    @property
    def failed(self) -> int:
        """Frames given up, or not made since their raw data are damaged."""
        return sum(s.failed + s.damaged for s in self.series.values())

    @property
    def left(self) -> int:
        """Frames to be made yet."""
        return sum(s.left for s in self.series.values())

    def rate(self, now: float) -> float | None:
        """Frames/s lately, as `recent_rate` has it; of a run that is over, None."""
        if self.ended is not None:
            return None
        return recent_rate([(t, n) for t, n, _ in self._commits], now)

    def rates(self, now: float) -> dict[str, float]:
        """Share the rate out to the series [frames/s]: the sum over them is `rate`."""
        rates = dict.fromkeys(self.series, 0.0)
        whole = self.rate(now)
        if whole is not None:
            lately = list(self._commits)[first_lately([c[0] for c in self._commits], now) + 1 :]
            frames = sum(n for _, n, _ in lately)
            for _, n, name in lately:
                rates[name] += whole * n / frames
        return rates

    def eta_s(self, now: float) -> float | None:
        """Time left at the present rate [s]."""
        rate = self.rate(now)
        return self.left / rate if rate else None

    def etas_s(self, now: float) -> dict[str, float | None]:
        """Time until each series is made [s]: they are made one after the other."""
        rate, left, found = self.rate(now), 0, dict[str, float | None]()
        for series in self.series.values():
            left += series.left
            found[series.name] = 0.0 if not series.left else left / rate if rate else None
        return found

    def mean_rate(self) -> float:
        """Frames/s of this run, from its start to its end or to the last that was heard of it."""
        return self.frames_made / max((self.ended or self.heard) - self.began, 1e-3)

    def _hear(self, now: float) -> None:
        self.heard = now
        self.events += 1

    def _commit(self, now: float, frames: int, series: str) -> None:
        self._commits.append((now, frames, series))
        while len(self._commits) > AT_LEAST and now - self._commits[0][0] >= LATELY_S:
            self._commits.popleft()


def _series(said: Mapping[str, Any], before: RunFigures | None) -> SeriesFigures:
    frames = int(said["frames"])
    earlier = None if before is None else before.series.get(said["series"])
    if earlier and (earlier.frames, earlier.fingerprint) != (frames, said["fingerprint"]):
        earlier = None
    return SeriesFigures(
        name=said["series"],
        frames=frames,
        done=int(said["done"]),
        failed=int(said["failed"]),
        fingerprint=said["fingerprint"],
        block=int(said["block"]),
        codes=bytearray(-(-frames // int(said["block"]))),
        psnr=earlier.psnr if earlier else Curve(frames),
        psnr_rapid=earlier.psnr_rapid if earlier else Curve(frames),
    )
