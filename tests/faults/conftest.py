import pytest
from faults.builders import make_scene


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="faults: all of them, at full length")


@pytest.fixture(scope="session")
def is_long(request):
    return request.config.getoption("--long")


@pytest.fixture(scope="session")
def scene(tmp_path_factory, is_long):
    frames = 2000 if is_long else 250  # the last block is ragged
    return make_scene(tmp_path_factory.mktemp("scene"), frames=frames - 3, block=8)


@pytest.fixture
def store(scene, tmp_path):
    return scene.copy(tmp_path)
