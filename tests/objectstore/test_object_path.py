"""A path in an object store is used as one on a file system."""

import pickle
import re
from pathlib import Path

import obstore
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from obstore.exceptions import GenericError

from stemscale.errors import StoreError, StoreUnavailableError
from stemscale.store import AcquisitionStore, ObjectPath, object_path, store_path

pytestmark = pytest.mark.s3

PATTERNS = ("*", "*/b", "a/*", "a/b/*.json", "*/*/zarr.json", "[ab]/*", "a/zarr.json")
names = st.sampled_from(["a", "b", "c.npz", "zarr.json", "zarr.json.bak", "0"])
files = st.sets(st.lists(names, min_size=1, max_size=4).map("/".join), min_size=1, max_size=8)


def without_folders_that_are_files(paths):
    return {p for p in paths if not any(q.startswith(f"{p}/") for q in paths)}


@given(paths=files.map(without_folders_that_are_files))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_finds_what_a_folder_with_the_same_files_has(paths, bucket, tmp_path_factory):
    here, there = tmp_path_factory.mktemp("tree"), ObjectPath(bucket)
    there.remove_tree()
    for path in paths:
        (here / path).parent.mkdir(parents=True, exist_ok=True)
        (here / path).write_bytes(path.encode())
        (there / path).write_bytes(path.encode())

    def found(root, given):
        return sorted(p.relative_to(root).as_posix() for p in given)

    def listed(ways):
        return [p for p in ways if p.is_file()]

    for path in paths:
        assert (there / path).read_bytes() == path.encode()
        assert (there / path).stat().st_size == len(path)
        parents = [here / path, *(here / path).parents][: path.count("/") + 2]
        for one in parents:
            other = there / one.relative_to(here).as_posix()
            assert (one.is_file(), one.is_dir(), one.exists()) == (
                other.is_file(),
                other.is_dir(),
                other.exists(),
            )
    for pattern in PATTERNS:
        assert found(here, listed(here.glob(pattern))) == found(there, there.glob(pattern))
    below = found(here, listed(here.rglob("zarr.json")))
    assert below == found(there, there.rglob("zarr.json"))
    there.remove_tree()
    assert not there.is_dir()


def test_names_follow_each_other_as_those_of_paths_do():
    there, here = ObjectPath("s3://b/x/run.zarr/"), Path("/x/run.zarr")
    assert str(there) == "s3://b/x/run.zarr"
    assert (there.name, there.stem, str(there.parent)) == (here.name, here.stem, "s3://b/x")
    assert str(there.with_name("y")) == "s3://b/x/y"
    assert [str(p) for p in there.parents] == ["s3://b/x", "s3://b/"]
    assert (there / "a/b").relative_to(there).as_posix() == "a/b"
    assert there == ObjectPath("s3://b//x/./run.zarr")


def test_only_one_of_two_puts_on_the_same_condition_succeeds(bucket):
    file = ObjectPath(bucket) / "lease.json"
    tag = file.put_if(b"first", None)
    assert tag is not None
    assert file.put_if(b"second", None) is None
    assert file.put_if(b"third", tag) is not None
    assert file.put_if(b"fourth", tag) is None
    assert file.read_bytes() == b"third"


def test_a_pickled_path_is_its_url_and_no_secret(bucket, server):
    path = ObjectPath(bucket) / "x"
    path.write_bytes(b"")  # with a client made
    pickled = pickle.dumps(path)
    assert pickle.loads(pickled) == path
    assert server.secret.encode() not in pickled
    assert server.key.encode() not in pickled


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s3://key:secret@bucket/run.zarr", "give credentials in the environment"),
        ("s3://key:se/cret@bucket/run.zarr", "give credentials in the environment"),
        ("s3:///run.zarr", "names no bucket"),
        ("s3://bucket/../run.zarr", "write the key out"),
        ("ftp://key:secret@host/run.zarr", "no place for a store"),
    ],
)
def test_a_url_that_cannot_be_is_refused(url, words):
    with pytest.raises(StoreError, match=words) as refused:
        store_path(url)
    assert "se" not in re.findall(r"key:(\w\w)", str(refused.value))


def test_a_server_that_does_not_answer_is_told_soon_with_its_address(bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    object_path._client.cache_clear()
    object_path._reached.clear()
    with pytest.raises(StoreUnavailableError, match=r"does not answer .*AWS_ENDPOINT_URL"):
        AcquisitionStore(f"{bucket}/run.zarr")


def test_a_wrong_secret_is_told_as_such(bucket, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    object_path._client.cache_clear()
    with pytest.raises(StoreUnavailableError, match=r"access is refused .*AWS_SECRET_ACCESS_KEY"):
        AcquisitionStore(f"{bucket}/run.zarr")


def test_a_bucket_that_is_not_there_is_told_as_such(bucket):
    with pytest.raises(StoreUnavailableError, match="no such bucket"):
        AcquisitionStore("s3://nowhere/run.zarr")


def test_an_object_that_cannot_be_asked_for_does_not_count_as_missing(bucket, monkeypatch):
    path = ObjectPath(bucket) / "x"
    path.write_bytes(b"")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(object_path, "_patience_s", 0.5)
    object_path._client.cache_clear()
    object_path._reached.clear()
    for ask in (path.is_file, path.is_dir, path.exists, path.stat, path.read_bytes):
        with pytest.raises(StoreUnavailableError):
            ask()


def test_a_put_on_condition_whose_answer_is_lost_is_made_again(bucket, monkeypatch):
    put, lost = obstore.put, [2]

    def losing(*args, **more):
        made = put(*args, **more)
        if lost[0]:
            lost[0] -= 1
            raise GenericError("HTTP error: the connection was cut")
        return made

    file = ObjectPath(bucket) / "lease.json"
    monkeypatch.setattr(obstore, "put", losing)
    assert file.put_if(b"mine", None) is None  # the first one was put
    assert file.read_bytes() == b"mine"
    lost[0] = 0
    assert file.put_if(b"next", file.read_tagged()[1]) is not None
