import pytest
from objectstore.server import BUCKET, s3_server


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture
def bucket(server, request):
    """URL of a place of this test's own, and its server in the environment."""
    with server.in_environment():
        yield f"s3://{BUCKET}/{request.node.name[:60].translate(str.maketrans('[]/ ', '____'))}"
