import zarr
from reports.builders import add_fov, new_store

from stemscale.reports.settings import settings_table, sources
from stemscale.views.store_view import read_store


def test_equal_settings_are_listed_once_and_others_with_their_field_of_view(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    for fov, pixel_size_nm in (("fov01", 2.1), ("fov02", 2.1), ("fov03", 1.7)):
        add_fov(path, fov, pixel_size_nm=pixel_size_nm)
    zarr.open_group(path, path="fov01/rapid").attrs.update({"detector": "BF", "ome": {"a": 1}})
    table = {s.name: s for s in settings_table(read_store(path).fovs)}
    assert table["dwell_time_ns"].rapid == "100"
    assert table["dwell_time_ns"].slow == "5000"
    assert table["pixel_size_nm"].rapid == "2.1 (fov01 and 1 more); 1.7 (fov03)"
    assert (table["detector"].rapid, table["detector"].slow) == ("BF", "")
    assert "ome" not in table
    assert "state" not in table


def test_files_are_named_with_their_checksums(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, slow=False)
    files = [f"f{i}.tif" for i in range(5)]
    zarr.open_group(path, path="fov01/rapid").attrs.update(
        {"source_files": files, "source_sha256": "ab" * 32}
    )
    (source,) = sources(read_store(path).fovs)
    assert (source.fov, source.what) == ("fov01", "rapid")
    assert source.files == "f0.tif, f1.tif, f2.tif and 2 more"
    assert source.sha256 == "ab" * 32
