"""Jobs of a SLURM cluster that are workers, through dask-jobqueue."""

import getpass
import logging
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from dask.utils import parse_bytes
from distributed import Client

from stemscale.clusters.address import set_up
from stemscale.clusters.local import THREADS, free_port
from stemscale.clusters.worker import MALLOC
from stemscale.errors import ProcessingError, SettingsError

_LEAST_MEMORY = 2**28  # bytes: what is less has lost its unit
_LOOK_EVERY_S = 5.0  # for jobs that have died
_LOOK_SELDOM_S = 60.0  # while jobs wait in the queue, for days perhaps
_LOOKS = 3  # one after another, before it is believed
_LINES = 5
_SPARE = 0.05  # of the walltime, and at least
_SPARE_S = 60  # so long before its end a worker stops taking blocks


@dataclass(frozen=True, kw_only=True, slots=True)
class SlurmSettings:
    """What jobs are asked for, as a YAML file says it.

    Attributes
    ----------
    file : Path
        That file.
    jobs : int
        Kept running: a job that ends is replaced.
    walltime : str
        Of a job, "HH:MM:SS".
    cores : int
        Of a job, which is one worker: torch takes all of them, and one GPU.
    memory : str
        Of a job, as "16 GiB".
    queue, account, interface : str or None
        Partition; who pays; network interface that nodes reach each other by.
    directives : tuple of str
        Further lines for ``#SBATCH``, as ``--gres=gpu:1``.
    before : tuple of str
        Shell lines before the worker starts, as ``module load cuda``.
    python : str or None
        Interpreter on the nodes; by default the one that runs here.
    shared_directory : str or None
        Where nodes and this machine see the same files, for the certificates of this run; by
        default where it is started.
    log_directory : str or None
        For the output of the jobs; by default where it is started.
    """

    file: Path
    jobs: int
    walltime: str
    cores: int
    memory: str
    queue: str | None = None
    account: str | None = None
    interface: str | None = None
    directives: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    python: str | None = None
    shared_directory: str | None = None
    log_directory: str | None = None

    @property
    def seconds(self) -> int:
        """Length of a job [s]."""
        hours, minutes, seconds = (int(part) for part in self.walltime.split(":"))
        return 3600 * hours + 60 * minutes + seconds

    @property
    def lifetime_s(self) -> int:
        """How long a worker takes blocks: it goes before its job is ended [s]."""
        return self.seconds - max(_SPARE_S, round(_SPARE * self.seconds))


def read_slurm_settings(file: Path) -> SlurmSettings:
    """Read the settings of jobs.

    Parameters
    ----------
    file : Path
        YAML, with the names of `SlurmSettings`.

    Returns
    -------
    SlurmSettings

    Raises
    ------
    SettingsError
        If something is missing, unknown or out of range.
    """
    known = [f.name for f in fields(SlurmSettings) if f.name != "file"]
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{file} cannot be read ({error}): it has to be YAML") from error
    if not isinstance(found, dict):
        raise SettingsError(f"{file} holds no names with values: needed are jobs, walltime, ...")
    if unknown := [str(name) for name in found if name not in known]:
        raise SettingsError(
            f"{file}: {', '.join(unknown)} is unknown; known are {', '.join(known)}"
        )
    needed = ("jobs", "walltime", "cores", "memory")
    if missing := [name for name in needed if name not in found]:
        raise SettingsError(f"{file} does not say {', '.join(missing)}")
    for name in ("jobs", "cores"):
        if not isinstance(found[name], int) or found[name] < 1:
            raise SettingsError(f"{file}: {name} is {found[name]!r}, needed is a number from 1")
    for name in ("directives", "before"):
        lines = found.get(name, [])
        if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
            raise SettingsError(f"{file}: {name} is {lines!r}, needed is a list of lines")
        found[name] = tuple(lines)
    memory = found["memory"]
    with suppress(ValueError):
        if isinstance(memory, str) and parse_bytes(memory) >= _LEAST_MEMORY:
            memory = None
    if memory is not None:
        raise SettingsError(f"{file}: memory is {memory!r}, needed is something like 16 GiB")
    settings = SlurmSettings(file=file, **found)
    try:
        enough = settings.lifetime_s > 0
    except (ValueError, AttributeError) as error:
        raise SettingsError(
            f'{file}: walltime is {settings.walltime!r}, needed is "HH:MM:SS", in quotes'
        ) from error
    if not enough:
        raise SettingsError(f"{file}: walltime {settings.walltime} is too short: give 2 minutes")
    return settings


@contextmanager
def on_slurm(settings: SlurmSettings) -> Iterator[Client]:
    """Keep jobs running that are workers, and give a client of them, see `connect`."""
    if shutil.which("sbatch") is None:
        raise SettingsError("this machine has no sbatch: start the run where jobs are submitted")
    try:
        jobqueue = import_module("dask_jobqueue")
    except ImportError as error:
        raise SettingsError(
            "--scheduler slurm needs the package dask-jobqueue, which is not installed: pip "
            'install "stemscale[slurm]"'
        ) from error
    make: Any = jobqueue.SLURMCluster
    try:
        started = make(**_options(settings))
    except (OSError, ValueError) as error:  # as of an interface that is not there
        raise SettingsError(f"no jobs can be made of {settings.file}: {error}") from error
    with started as cluster:
        _check(cluster.job_script(), settings.file)
        cluster.adapt(minimum_jobs=settings.jobs, maximum_jobs=settings.jobs)
        with Client(cluster, set_as_default=False) as client:
            set_up(client, "the jobs", threads=settings.cores)
            with _told_if_jobs_die(cluster, client, settings):
                yield client


def _options(settings: SlurmSettings) -> dict[str, Any]:
    """Give what dask-jobqueue is to be told."""
    stagger = (settings.seconds - settings.lifetime_s) // 2
    worker = ["--lifetime", f"{settings.lifetime_s}s", "--lifetime-stagger", f"{stagger}s"]
    worker += ["--nthreads", str(THREADS)]  # the last one counts
    return {
        "cores": settings.cores,
        "processes": 1,  # of several, dask-jobqueue does not replace those that end
        "memory": settings.memory,
        "walltime": settings.walltime,
        "queue": settings.queue,
        "account": settings.account,
        "interface": settings.interface,
        "job_extra_directives": list(settings.directives),
        "job_script_prologue": [f"export {k}={v}" for k, v in MALLOC.items()]
        + list(settings.before),
        "log_directory": settings.log_directory,
        "worker_extra_args": worker,
        "security": True,  # whoever reaches an open scheduler runs code as its user
        "shared_temp_directory": settings.shared_directory or str(Path.cwd()),
        "scheduler_options": {"dashboard_address": f"127.0.0.1:{free_port(8787)}"},
        "silence_logs": logging.CRITICAL,
        **({"python": settings.python} if settings.python else {}),
    }


@contextmanager
def _told_if_jobs_die(cluster: Any, client: Client, settings: SlurmSettings) -> Iterator[None]:
    """End a run all of whose jobs have ended before a worker came, and say why.

    dask-jobqueue replaces workers that were there, and takes a job that never made one for a job
    that has not begun.

    Raises
    ------
    ProcessingError
        With the last lines that such a job has written.
    """
    over, dead = threading.Event(), threading.Event()
    last: list[str] = []

    def look() -> None:
        seen_gone, wait_s = 0, _LOOK_EVERY_S
        while not over.wait(wait_s) and not cluster.scheduler.workers:
            ids = [job.job_id for job in cluster.workers.values() if job.job_id]
            words = ["squeue", "--noheader", "--format=%A", "--user", getpass.getuser()]
            queued = subprocess.run(words, capture_output=True, text=True, check=False)
            gone = ids and queued.returncode == 0 and not set(ids) & set(queued.stdout.split())
            seen_gone = seen_gone + 1 if gone else 0
            wait_s = _LOOK_EVERY_S if gone else min(1.5 * wait_s, _LOOK_SELDOM_S)
            if seen_gone == _LOOKS:
                last[:] = ids
                dead.set()
                client.close()  # for the engine, the scheduler is gone then
                return

    watching = threading.Thread(target=look, daemon=True, name="stemscale-jobs")
    watching.start()
    try:
        yield
    except Exception as error:  # of whatever step it was that missed the client
        if not dead.is_set():
            raise
        raise ProcessingError(
            f"the jobs of {settings.file} end before they connect ({_last_words(settings, last)}): "
            "mend that, and run the same command again"
        ) from error
    finally:
        over.set()


def _last_words(settings: SlurmSettings, jobs: list[str]) -> str:
    """Give the end of what one of some jobs has written, and where."""
    folder = Path(settings.log_directory or Path.cwd())
    logs = [file for job in jobs for file in folder.glob(f"*{job}*") if file.stat().st_size]
    if not logs:
        return f"no log of them in {folder}"
    lines = logs[0].read_text(errors="replace").split("\n")
    return f"{logs[0]} ends with {' '.join(' '.join(lines[-_LINES:]).split())!r}"


def _check(script: str, file: Path) -> None:
    """Ask SLURM what it says of a job, before a run waits for workers that never come."""
    with tempfile.NamedTemporaryFile("w", suffix=".sh") as job:
        job.write(script)
        job.flush()
        words = ["sbatch", "--test-only", job.name]
        said = subprocess.run(words, capture_output=True, text=True, check=False)
    if said.returncode:
        why = " ".join(said.stderr.split())
        raise ProcessingError(f"SLURM does not take the jobs of {file} ({why})")
