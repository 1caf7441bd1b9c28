"""What `process` and `live` say of a run: its plan, how it kept up, what it could not make."""

from collections.abc import Mapping, Sequence
from typing import Any

import typer

from stemscale_cli.output import count, print_json, size, talk


def say_corrections(done: Any) -> None:
    """Say which distortions were carried over, and where filter or dtype do not fit."""
    for words in dict.fromkeys(done.transfers.values()):
        fovs = [name for name, said in done.transfers.items() if said == words]
        talk(f"{', '.join(fovs)}: distortion {words}")
    _warn(done.misfits)
    _warn({fov: [words] for fov, words in done.roundings.items()})


def keeping_up(done: Any) -> str:
    """Say how a run kept up with series that grew."""
    if done.latency is None:
        return "no frame came meanwhile"
    parts = [f"{count(done.latency.frames, 'frame')} came meanwhile: {done.latency.words()}"]
    if not done.kept_up:
        parts.append(f"could not keep up at times: {done.most_behind} frames behind at most")
    return "; ".join(parts)


def say_failures(done: Any) -> None:
    """Say which frames could not be made, and end with code 3 if there are any."""
    from stemscale.store import listed_frames

    for what, by_fov in (("failed", done.failed), ("have damaged raw data", done.damaged)):
        for one, frames in by_fov.items():
            why = f" ({done.reasons[one]})" if one in done.reasons else ""
            talk(f"{one}: {len(frames)} frames {what}: {listed_frames(frames)}{why}")
    if done.failed:
        talk("the same command with --retry-failed tries those frames once more")
    if done.damaged:
        talk("ingest the same files again to bring raw data back; then run the same command again")
    if done.failed or done.damaged:
        raise typer.Exit(3)


def show_plan(plan: Any, workers: tuple[int, int] | None, *, as_json: bool) -> None:
    """Print what a run would do; ``workers`` are local ones, and blocks in each at once."""
    rows = [
        {
            "fov": s.fov,
            "frames": s.frames_todo,
            "blocks": len(s.todo),
            "frames_there_already": s.standing.done_frames,
            "frames_failed_before": s.frames_failed,
            "correction": s.correction,
            "filter_misfit": s.misfit,
            "rounding": s.rounding,
        }
        for s in plan.series
    ]
    if as_json:
        totals = {
            "store": plan.store,
            "name": plan.name,
            "tasks": plan.tasks,
            "frames": plan.frames,
            "bytes_read": plan.bytes_read,
            "bytes_written": plan.bytes_written,
            "bytes_per_task": plan.bytes_per_task,
            "workers": None if workers is None else workers[0],
            "tasks_per_worker": None if workers is None else workers[1],
        }
        print_json({**totals, "fovs": rows})
        return
    typer.echo(f"{plan.store}: filter {plan.choice.label}, to filtered/{plan.name}")
    for row in rows:
        why = {"there already": row["frames_there_already"], "failed": row["frames_failed_before"]}
        skipped = "".join(f", {n} frames skipped ({word})" for word, n in why.items() if n)
        typer.echo(
            f"  {row['fov']}: {count(row['frames'], 'frame')} in {count(row['blocks'], 'block')}, "
            f"correction {row['correction']}{skipped}"
        )
    typer.echo(
        f"{count(plan.tasks, 'task')}, {count(plan.frames, 'frame')}; reads "
        f"{size(plan.bytes_read)}, writes {size(plan.bytes_written)} before compression; "
        f"about {size(plan.bytes_per_task)} a task"
    )
    if workers is not None:
        processes, each = workers
        typer.echo(
            f"{count(processes, 'worker')} on this machine, {each} tasks in each at once: about "
            f"{size(processes * each * plan.bytes_per_task)} beside the filter and Python itself"
        )
    _warn({s.fov: s.misfit for s in plan.series})
    _warn({s.fov: [s.rounding] for s in plan.series if s.rounding})


def _warn(misfits: Mapping[str, Sequence[str]]) -> None:
    """Say what does not fit, by FOV, in sentences; FOVs alike, in one line."""
    for sentence in dict.fromkeys(s for said in misfits.values() for s in said):
        fovs = [name for name, said in misfits.items() if sentence in said]
        talk(f"Warning: {', '.join(fovs)}: {sentence}")


def say_what_is_outside(done: Any) -> None:
    """Count the frames that the filter was not trained for, and say in which respects."""
    for fov, flagged in done.out_of_range.items():
        talk(f"{fov}: {flagged.words()}")
    if done.out_of_range:
        talk("compare them with --filter dcfi, or train on fields of view of your own")
    elif done.learned and not done.judged:
        talk(
            "whether single frames lie outside what the filter was trained on is not known: its "
            "card does not say what they were like; train it again with this version"
        )
