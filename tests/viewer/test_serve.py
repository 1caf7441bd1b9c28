"""Who listens, on which port, and how it ends."""

import shutil
import signal
import socket
import subprocess
import sys
from urllib.request import urlopen

import pytest
from dashboard.test_page import listeners
from viewer.builders import in_situ, served

from stemscale.errors import SettingsError, StoreError
from stemscale.viewer import view


def command(*words):
    words = [sys.executable, "-m", "stemscale_cli.app", "view", *map(str, words)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return in_situ(tmp_path_factory.mktemp("serve") / "s.zarr", n_frames=3)


def test_only_this_machine_is_listened_to_and_an_interrupt_ends_it_well(small):
    process = command(small, "--no-browser")
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        assert urlopen(address).status == 200
        if shutil.which("ss"):
            assert set(listeners(process.pid)) == {"127.0.0.1"}
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (0, "", "Ctrl-C ends it.\n")
    finally:
        process.kill()
        process.communicate()


def test_how_frames_are_corrected_is_known_without_what_corrects_them(small):
    """The first page waits for no torch."""
    code = (
        "import sys\n"
        "import stemscale.viewer.session\n"
        "from stemscale.viewer.library import Library\n"
        f"opened = Library({str(small)!r}).opened('fov01')\n"
        "assert opened.series.corrected_grid == (48, 64)\n"
        "print([m for m in ('torch', 'distributed', 'matplotlib') if m in sys.modules])\n"
        "assert opened.reader.image(opened.series, 'corrected', 0).shape == (48, 64)\n"
        "assert 'torch' in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_another_port_is_taken_where_the_usual_one_is_in_use(small):
    with served(small) as one, served(small) as other:
        assert one != other
        assert urlopen(other).status == 200


def test_a_port_that_was_asked_for_and_is_in_use_is_refused(small):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"port {port} .*--port"):
            view(small, port=port, browser=False)


def test_pages_of_other_sites_get_no_answer(small):
    with served(small) as url:
        host, port = url.split("/")[2].split(":")
        with socket.create_connection((host, int(port))) as plain:
            lines = [
                "GET /ws HTTP/1.1",
                f"Host: {host}:{port}",
                "Upgrade: websocket",
                "Connection: Upgrade",
                "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                "Sec-WebSocket-Protocol: bokeh, none",
                "Origin: http://elsewhere.example",
            ]
            plain.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
            assert plain.recv(100).startswith(b"HTTP/1.1 403")


def test_what_is_no_store_is_refused_before_anything_is_served(tmp_path):
    with pytest.raises(StoreError, match="does not exist"):
        view(tmp_path / "none.zarr", browser=False)
    process = command(tmp_path / "none.zarr", "--no-browser")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
