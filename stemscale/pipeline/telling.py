"""What the dashboard is told of a run: by the driver of its course, by workers of their blocks."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from distributed import Client, get_worker
from numpy.typing import NDArray

from stemscale.dashboard import (
    TOPIC,
    block_made,
    given_up,
    run_ended,
    run_started,
    thumbnail,
    waiting,
)
from stemscale.pipeline.events import BlockFailed, Listener, Waiting
from stemscale.store import FRAME_STATUS, BlockRecord

if TYPE_CHECKING:
    from stemscale.pipeline.block import BlockTask
    from stemscale.pipeline.plan import ProcessPlan

logger = logging.getLogger(__name__)


def tell_block(
    task: "BlockTask",
    record: BlockRecord,
    *,
    seconds: Mapping[str, float],
    frames: Callable[[], tuple[NDArray[Any], NDArray[Any]]] | None = None,
) -> None:
    """Tell the scheduler of a block that is recorded; in a worker.

    Parameters
    ----------
    task : BlockTask
        One without a run: nobody is told.
    record : BlockRecord
    seconds : mapping of str to float
        Time spent, by step [s].
    frames : callable, optional
        Gives the last frame of the block, before and after.
    """
    if not task.run:
        return
    try:
        worker = get_worker()
    except ValueError:  # called outside of one
        return
    good = all(status == FRAME_STATUS["done"] for status in record.status)
    picture = None
    if frames is not None and good:
        try:
            before, after = (thumbnail(frame) for frame in frames())
        except Exception as error:  # whatever it is: the block is made
            logger.warning("%s block %d has no picture: %s", task.group, record.block, error)
        else:
            picture = {"frame": record.stop - 1, "before": before, "after": after}
    worker.log_event(
        TOPIC,
        block_made(
            run=task.run,
            series=task.group,
            block=record.block,
            start=record.start,
            stop=record.stop,
            status="done" if good else "damaged",
            seconds=seconds,
            psnr=record.scores.get("psnr", ()),
            psnr_rapid=record.scores.get("psnr_rapid", ()),
            picture=picture,
        ),
    )


@contextmanager
def telling(
    client: Client, plan: "ProcessPlan", run: str, listener: Listener
) -> Iterator[Listener]:
    """Tell the scheduler when a run begins and ends, and what its driver alone knows.

    Parameters
    ----------
    client : Client
    plan : ProcessPlan
        As it stands when the first block is submitted.
    run : str
        Names the run.
    listener : callable
        Told of everything as well.

    Yields
    ------
    callable
        The listener to be told of the run.
    """
    groups = {s.fov: s.group for s in plan.series}

    def listen(event: Any) -> None:
        if isinstance(event, BlockFailed) and event.given_up:
            group = groups[event.fov]
            said = given_up(
                run=run,
                series=group,
                block=event.block,
                frames=event.frames,
                reason=event.reason,
            )
            _tell(client, said)
        elif isinstance(event, Waiting):
            _tell(client, waiting(run=run, reason=event.reason))
        listener(event)

    series = [
        {
            "series": s.group,
            "frames": s.n_frames,
            "block": s.block,
            "done": s.standing.done_frames,
            "failed": s.frames_failed,
            "fingerprint": s.run["fingerprint"],
        }
        for s in plan.series
    ]
    started = run_started(
        run=run,
        store=str(plan.store.absolute()),
        label=plan.choice.label,
        client=client.id,
        series=series,
    )
    _tell(client, started)
    try:
        yield listen
    finally:
        _tell(client, run_ended(run=run))


def _tell(client: Client, event: dict[str, Any]) -> None:
    if client.status != "running":  # there is nobody to be told
        return
    try:
        client.log_event(TOPIC, event)
    except (OSError, TimeoutError):  # it is just going
        return
