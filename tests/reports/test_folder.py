import csv

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from reports.builders import add_calibration, add_filtered, add_fov, new_store

from stemscale.errors import SettingsError, StoreError
from stemscale.reports import FileWritten, PartDone, report
from stemscale.reports.events import no_listener
from stemscale.reports.folder import DPI, FigureFolder
from stemscale.reports.plot import Plot


def plot(name="line", fov="fov01", **more):
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([1, 2])
    numbers = {"x_nm": np.array([0.5, np.nan]), "n": [1, 2], "label": ["=1+1", "a,b"]}
    words = {"title": "Line", "caption": "A line.", "paper": "Fig. 9"}
    return Plot(name=name, fov=fov, figure=figure, numbers=numbers, **words, **more)


def in_folder(tmp_path, *plots):
    folder = FigureFolder(tmp_path / "figures", tmp_path / "a.zarr", no_listener)
    for one in plots:
        folder.add(one)
    folder.close()
    return tmp_path / "figures"


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """A report with figures, and what a listener heard."""
    base = tmp_path_factory.mktemp("folder")
    store = new_store(base / "a.zarr")
    for fov in ("fov01", "fov02"):
        add_fov(store, fov, n_frames=4, temperature=True, relation="after")
        add_filtered(store, fov, n_frames=4, temperature=True)
    add_calibration(store, "fov01")
    heard = []
    page = report(store, base / "p.html", base / "figs", fovs=["fov01"], listener=heard.append)
    return page, base / "figs", heard


def index_of(folder):
    with (folder / "index.csv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_each_figure_is_there_as_picture_drawing_and_numbers(reported):
    _, folder, _ = reported
    index = index_of(folder)
    stems = [line["file"] for line in index]
    assert stems == [
        "fov01_images",
        "fov01_contours",
        "fov01_fourier",
        "fov01_line_profile",
        "fov01_spectrum",
        "psnr",
        "fov01_frames",
        "fov01_series",
        "fov01_distortion",
    ]
    found = {p.name for p in folder.iterdir()}
    each = {f"{stem}.{ending}" for stem in stems for ending in ("png", "svg", "csv")}
    assert found == each | {"index.csv", "README.txt"}
    for line in index:
        with (folder / f"{line['file']}.csv").open(encoding="utf-8") as stream:
            columns = next(csv.reader(stream))
        assert " ".join(columns) == line["columns"]


def test_the_index_names_the_figures_of_the_paper(reported):
    _, folder, _ = reported
    paper = {line["file"]: line["figure_of_the_paper"] for line in index_of(folder)}
    assert paper["fov01_contours"] == "Fig. 1d, 3f"
    assert paper["fov01_line_profile"] == "Fig. 4b"
    assert paper["psnr"] == "Fig. 4a"
    assert paper["fov01_frames"] == "Fig. 5"
    assert paper["fov01_distortion"] == "Fig. 1a–c, 7d"
    readme = (folder / "README.txt").read_text(encoding="utf-8")
    assert "As Fig. 4b of the paper." in readme
    assert all(line["file"] in readme for line in index_of(folder))


def test_all_that_is_written_and_drawn_is_told(reported):
    page, folder, heard = reported
    written = [event.path for event in heard if isinstance(event, FileWritten)]
    assert sorted(written) == sorted([page, *folder.iterdir()])
    parts = [event for event in heard if isinstance(event, PartDone)]
    assert [(p.done, p.total) for p in parts] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert parts[0].fov == "fov01"


def test_only_the_fields_of_view_asked_for_are_shown(reported):
    page = reported[0].read_text(encoding="utf-8")
    assert "fov01" in page
    assert "fov02" not in page


def test_a_field_of_view_that_is_not_there_is_refused(tmp_path):
    store = new_store(tmp_path / "a.zarr")
    add_fov(store)
    with pytest.raises(StoreError, match="no field of view fov9: it has fov01"):
        report(store, fovs=["fov9"])


def test_numbers_are_plain_csv_and_no_formulas(tmp_path):
    folder = in_folder(tmp_path, plot())
    lines = (folder / "fov01_line.csv").read_text(encoding="utf-8").splitlines()
    assert lines == ["x_nm,n,label", "0.5,1,'=1+1", ',2,"a,b"']


def test_a_picture_has_two_hundred_dots_an_inch_and_equal_data_give_equal_files(tmp_path):
    folder = in_folder(tmp_path, plot())
    names = ("fov01_line.png", "fov01_line.svg")
    first = [(folder / name).read_bytes() for name in names]
    with Image.open(folder / "fov01_line.png") as picture:
        assert picture.size == (2 * DPI, DPI)
    in_folder(tmp_path, plot())
    assert [(folder / name).read_bytes() for name in names] == first


def test_odd_names_become_files_of_their_own(tmp_path):
    folder = in_folder(tmp_path, plot(fov="../µ <b>"), plot(fov="../µ [b]"), plot(fov="x" * 300))
    stems = [line["file"] for line in index_of(folder)]
    assert stems == ["b_line", "b_line-2", f"{'x' * 64}_line"]
    assert {p.parent for p in folder.rglob("*")} == {folder}


def test_a_folder_that_cannot_be_is_refused_before_anything_is_read(tmp_path):
    store = new_store(tmp_path / "a.zarr")
    with pytest.raises(SettingsError, match="lies in the store"):
        report(store, figures=store / "figures")
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="is a file"):
        report(store, figures=tmp_path / "file")
    with pytest.raises(SettingsError, match="no folder"):
        report(store, figures=tmp_path / "none" / "figures")
