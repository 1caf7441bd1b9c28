import pytest
from objectstore.server import BUCKET, s3_server

from stemscale.store import object_path


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture
def bucket(server, monkeypatch, request):
    """URL of a place of this test's own, and its server in the environment."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    object_path._client.cache_clear()
    yield f"s3://{BUCKET}/{request.node.name[:60].translate(str.maketrans('[]/ ', '____'))}"
    object_path._client.cache_clear()
