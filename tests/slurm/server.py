"""A real SLURM of one node, on loopback, in a folder of its own.

    python tests/slurm/server.py FOLDER

starts it, says how to reach it, and ends it at Ctrl-C. Needs root, and Debian's packages slurm-wlm
and munge.
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "squeue", "sinfo")

CONFIGURATION = """
ClusterName=stemscale
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
AuthType=auth/munge
# A requeued job waits until its credentials have expired: 120 s by default
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,batch_sched_delay=1
KillWait=5
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=16000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def what_is_missing() -> str:
    """Say why SLURM cannot be started here; nothing if it can."""
    if os.geteuid() != 0:
        return "needs root, to start SLURM"
    missing = [p for p in PROGRAMS if shutil.which(p) is None]
    return f"needs {', '.join(missing)}: Debian's slurm-wlm and munge" if missing else ""


@contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """Start SLURM; give the environment in which its commands find it."""
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    ports = {"controller": _free_port(), "node": _free_port()}
    file = folder / "slurm.conf"
    file.write_text(CONFIGURATION.format(host=socket.gethostname(), folder=folder, **ports))
    environment = {**os.environ, "SLURM_CONF": str(file)}
    munged = ["munged", "--foreground", "--force", f"--key-file={key}"]
    munged += [f"--{what}={folder}/munge.{what.split('-')[0]}" for what in ("socket", "pid-file")]
    munged += [
        f"--{what}={folder}/munge.{what.split('-')[0]}" for what in ("log-file", "seed-file")
    ]
    with ExitStack() as stack:
        for command in (munged, ["slurmctld", "-D"], ["slurmd", "-D"]):
            stack.enter_context(_running(command, environment))
        until = time.monotonic() + 60
        while _said(["sinfo", "-h", "-o", "%T"], environment) != "idle":
            if time.monotonic() > until:
                log = folder / "slurmctld.log"
                said = log.read_text()[-300:] if log.is_file() else "it wrote no log"
                raise TimeoutError(f"SLURM does not start here: {' '.join(said.split())}")
            time.sleep(0.2)
        try:
            yield environment
        finally:
            for job in jobs(environment):
                subprocess.run(["scancel", job], env=environment)


def jobs(environment: dict[str, str], *, running: bool = False) -> list[str]:
    """Give the ids of the jobs that wait, run or end just now; or of those that run."""
    only = ["--states=RUNNING"] if running else []
    return _said(["squeue", "--noheader", "--format=%A", *only], environment).split()


def _said(command: list[str], environment: dict[str, str]) -> str:
    found = subprocess.run(command, env=environment, capture_output=True, text=True)
    return found.stdout.strip()


@contextmanager
def _running(command: list[str], environment: dict[str, str]) -> Iterator[None]:
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Run until Ctrl-C."""
    if missing := what_is_missing():
        raise SystemExit(missing)
    with slurm(Path(sys.argv[1]).absolute()) as environment:
        print(f"export SLURM_CONF={environment['SLURM_CONF']}", flush=True)
        try:
            while True:
                time.sleep(60)
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
