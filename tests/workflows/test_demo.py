import pytest

import stemscale
from stemscale.errors import StoreConflictError
from stemscale.workflows.demo import commands


def test_the_demo_runs_commands_that_a_user_can_type(tmp_path):
    from stemscale_cli.app import app

    known = {c.callback.__name__ for c in app.registered_commands}
    listed = commands(tmp_path)
    assert all(c[0] == "stemscale" and c[1] in known for c in listed)
    verbs = [c[1] for c in listed]
    assert verbs[0] == "simulate"
    assert verbs[-1] == "report"
    assert {"ingest", "calibrate", "train", "process", "summarize", "verify"} < set(verbs)


def test_the_demo_touches_no_folder_but_its_own(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(StoreConflictError, match="name another folder"):
        stemscale.demo(tmp_path)
    assert [f.name for f in tmp_path.iterdir()] == ["thesis.tex"]
