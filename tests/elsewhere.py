"""A scheduler and workers as an operator starts them; each can be ended and started again."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

SCHEDULER, WORKER = "distributed.cli.dask_scheduler", "distributed.cli.dask_worker"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Elsewhere:
    """One scheduler and some workers.

    Attributes
    ----------
    options : list
        Of Dask's commands, for both: certificates.
    hosts : list of str
        Addresses of the machine of the scheduler and of that of each worker, the last for all
        further ones.
    inside : list of list of str
        Commands that start others on those machines.
    """

    folder: Path
    options: list = field(default_factory=list)
    hosts: list[str] = field(default_factory=lambda: ["127.0.0.1"])
    inside: list[list[str]] = field(default_factory=lambda: [[]])
    port: int = field(default_factory=free_port)
    scheduler: subprocess.Popen | None = None
    workers: list[subprocess.Popen] = field(default_factory=list)

    @property
    def address(self) -> str:
        protocol = "tls" if "tls" in self.options else "tcp"
        return f"{protocol}://{self.hosts[0]}:{self.port}"

    def start_scheduler(self) -> None:
        words = [SCHEDULER, "--host", self.hosts[0], "--port", self.port, "--no-dashboard"]
        self.scheduler = self._start(words, 0)
        until = time.monotonic() + 60
        while not self._listens():
            assert self.scheduler.poll() is None, self.log()
            assert time.monotonic() < until, self.log()
            time.sleep(0.1)

    def add_worker(self, **environment: str) -> subprocess.Popen:
        at = min(len(self.workers) + 1, len(self.hosts) - 1)
        words = [WORKER, self.address, "--host", self.hosts[at], "--nthreads", 2, "--no-dashboard"]
        worker = self._start([*words, "--nworkers", 1], at, environment)
        self.workers.append(worker)
        return worker

    def end(self, process: subprocess.Popen, *, sign: int = signal.SIGKILL) -> None:
        """End a scheduler, or a worker with its nanny."""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        process.wait(30)
        if process in self.workers:
            self.workers.remove(process)

    def end_all(self) -> None:
        for process in [*self.workers, self.scheduler]:
            if process is not None:
                self.end(process)

    def log(self) -> str:
        return (self.folder / "elsewhere.log").read_text()[-3000:]

    def _listens(self) -> bool:
        reach = f"import socket; socket.create_connection(({self.hosts[0]!r}, {self.port}), 1)"
        words = [*self.inside[0], sys.executable, "-c", reach]
        return subprocess.run(words, stderr=subprocess.DEVNULL, check=False).returncode == 0

    def _start(self, words: list, at: int, environment: dict | None = None) -> subprocess.Popen:
        command = [*self.inside[at], sys.executable, "-m", *words, *self.options]
        with (self.folder / "elsewhere.log").open("ab") as log:
            return subprocess.Popen(
                [str(w) for w in command],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )


@contextmanager
def elsewhere(folder: Path, *options, workers: int = 2, **more) -> Iterator[Elsewhere]:
    """Start a scheduler and workers, and end them."""
    made = Elsewhere(folder, list(options), **more)
    try:
        made.start_scheduler()
        for _ in range(workers):
            made.add_worker()
        yield made
    finally:
        made.end_all()


@contextmanager
def machines(count: int) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Make network namespaces on one bridge, which reach each other and nothing else.

    Yields
    ------
    hosts : list of str
        The address of each.
    inside : list of list of str
        The command that starts another one in it.
    """
    name = f"st{os.getpid() % 10000}"
    hosts = [f"10.213.{os.getpid() % 250}.{i + 2}" for i in range(count)]

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    made = []
    try:
        ip("netns", "add", f"{name}hub")
        made.append(f"{name}hub")
        ip("-n", f"{name}hub", "link", "add", "bridge", "type", "bridge")
        ip("-n", f"{name}hub", "link", "set", "bridge", "up")
        for i, host in enumerate(hosts):
            ip("netns", "add", f"{name}m{i}")
            made.append(f"{name}m{i}")
            cable = ["type", "veth", "peer", "name", "eth0", "netns", f"{name}m{i}"]
            ip("-n", f"{name}hub", "link", "add", f"port{i}", *cable)
            ip("-n", f"{name}hub", "link", "set", f"port{i}", "master", "bridge", "up")
            ip("-n", f"{name}m{i}", "addr", "add", f"{host}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                ip("-n", f"{name}m{i}", "link", "set", device, "up")
        yield hosts, [["ip", "netns", "exec", one] for one in made[1:]]
    finally:
        for one in reversed(made):
            subprocess.run(["ip", "netns", "del", one], check=False, capture_output=True)


def why_no_machines() -> str:
    """Say why network namespaces cannot be made here; nothing if they can."""
    try:
        with machines(1):
            return ""
    except FileNotFoundError:
        return "needs the program ip: Debian's iproute2"
    except subprocess.CalledProcessError as error:
        return f"cannot make network namespaces ({error.stderr.decode().strip()})"
