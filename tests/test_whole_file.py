import subprocess
import sys
from threading import Thread

import pytest

from stemscale.whole_file import whole_file

WRITE_AND_WAIT = """
import sys
from pathlib import Path
from stemscale.whole_file import whole_file
with whole_file(Path(sys.argv[1])) as made:
    made.write_text("half")
    print("begun", flush=True)
    sys.stdin.read()
    made.write_text("whole")
"""


def begun(target):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE_AND_WAIT, str(target)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "begun\n"
    return process


def unfinished(target):
    return sorted(target.parent.glob(f".{target.name}.*.tmp/{target.name}"))


def test_what_is_written_is_there_once_it_is_whole_and_nothing_else_is(tmp_path):
    target = tmp_path / "frames.tif"
    target.write_text("old")
    with whole_file(target) as made:
        assert made.name == target.name
        made.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_where_writing_fails_the_old_file_stays(tmp_path):
    target = tmp_path / "frames.tif"
    target.write_text("old")
    with pytest.raises(UnicodeEncodeError), whole_file(target) as made:
        made.write_text("half \ud800")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_takes_the_place_of_a_folder(tmp_path):
    target = tmp_path / "frames.zspy"
    for words in ("old", "new"):
        with whole_file(target) as made:
            made.mkdir()
            (made / words).touch()
    assert [file.name for file in target.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [target]


def test_where_no_folder_was_written_the_old_one_stays(tmp_path):
    target = tmp_path / "frames.zspy"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(FileNotFoundError), whole_file(target):
        pass
    assert [file.name for file in target.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [target]


def test_where_nothing_can_be_written_it_says_so_before_anything_is_made(tmp_path):
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "nowhere" / "frames.tif"):
        pytest.fail("nothing can be written")


def test_what_a_killed_process_left_is_taken_away_and_nothing_of_a_living_one(tmp_path):
    target, other = tmp_path / "frames.tif", tmp_path / "frames.tif.tif"
    living, killed, of_another = begun(target), begun(target), begun(other)
    try:
        assert len(unfinished(target)) == 2
        for process in (killed, of_another):
            process.kill()
            process.communicate()
        (tmp_path / ".frames.tif.01234567.tmp").mkdir()  # killed before it could lock it
        with whole_file(target) as made:
            made.write_text("mine")
        assert len(unfinished(target)) == 1
        assert len(unfinished(other)) == 1
        assert len(list(tmp_path.iterdir())) == 3
        living.communicate("", timeout=30)
        assert target.read_text() == "whole"
        assert unfinished(target) == []
    finally:
        living.kill()
        living.communicate()


def test_of_many_that_write_the_same_file_at_once_each_is_whole(tmp_path):
    target = tmp_path / "frames.tif"
    errors = []

    def write(letter):
        try:
            for _ in range(20):
                with whole_file(target) as made:
                    made.write_text(letter * 10_000)
                assert len(set(target.read_text())) == 1
        except BaseException as error:
            errors.append(error)

    threads = [Thread(target=write, args=(letter,)) for letter in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert list(tmp_path.iterdir()) == [target]
