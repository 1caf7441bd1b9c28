"""The specification of the store holds of stores that were just made, in both directions."""

import hashlib
import json
import zlib
from dataclasses import fields

import numpy as np
import pytest
from builders import ramp_frames
from docs.store_tables import PAGE, SCAN_SETTINGS, pattern, read_sections
from velox_files import write_velox

import stemscale
from stemscale.acquisition import FRAME_QUANTITIES, ScanSettings
from stemscale.clusters import connect
from stemscale.store import FORMAT, AcquisitionStore, BlockRecord, ledger_root

pytestmark = pytest.mark.cluster

SECTIONS = read_sections()
BLOSC = {"cname": "zstd", "clevel": 1, "shuffle": "bitshuffle"}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """What most verbs leave: still and in situ, tuned and learned filters, drift, a summary."""
    folder = tmp_path_factory.mktemp("format")
    store = folder / "run.zarr"
    files = stemscale.simulate(folder / "still", fovs=1, frames=24, size=64)
    stemscale.ingest(store, manifest=files)
    stemscale.calibrate(store)
    np.save(folder / "bare.npy", ramp_frames(5, dtype="float32"))
    stemscale.ingest(store, folder / "bare.npy", fov="bare")
    velox = write_velox(folder / "velox.emd", {"HAADF": ramp_frames(5), "BF": ramp_frames(5)})
    stemscale.ingest(store, velox, detector="all")
    with connect("local", workers=1) as client:
        stemscale.process(store, filter="live", client=client)
        others = ({"filter": "dcfi"}, {"filter": "gaussian"}, {"filter": "none", "drift": True})
        for asked in others:
            stemscale.process(store, fovs=["fov01"], **asked, client=client)
    stemscale.summarize(store)
    return store


@pytest.fixture(scope="module")
def nodes(store):
    root = json.loads((store / "zarr.json").read_text())
    return {"": root, **root["consolidated_metadata"]["metadata"]}


def section_of(path):
    found = [s for h, s in SECTIONS.items() if h.startswith("/") and pattern(h).fullmatch(path)]
    assert len(found) == 1, f"{path!r} is described by {len(found)} sections"
    return found[0]


def groups(nodes):
    return {p: n["attributes"] for p, n in nodes.items() if n["node_type"] == "group"}


def arrays_of(nodes, group):
    prefix = f"{group}/" if group else ""
    return {
        p.removeprefix(prefix): n
        for p, n in nodes.items()
        if n["node_type"] == "array" and p.rpartition("/")[0] == group
    }


def attributes_of(path):
    section = section_of(path)
    with_scan = "ome" in section.attributes
    return {**section.attributes, **(SECTIONS[SCAN_SETTINGS].attributes if with_scan else {})}


def row_of(section, name):
    if name in section.arrays:
        return section.arrays[name]
    starred = [r for n, r in section.arrays.items() if n[0] == "*" and name.endswith(n[1:])]
    return starred[0] if starred else None


def required(rows, attributes):
    wanted = {"always"} | ({"complete"} if attributes.get("state") == "complete" else set())
    return {name for name, row in rows.items() if row["there"] in wanted}


def is_of(value, words):
    kinds = {
        "string": str,
        "integer": int,
        "number": (int, float, type(None)),
        "boolean": bool,
        "object": dict,
    }
    if words.startswith("list of "):
        return isinstance(value, list) and all(is_of(v, words[8:]) for v in value)
    return isinstance(value, kinds[words])


def test_every_group_has_the_attributes_of_the_page_and_no_others(nodes):
    for path, attributes in groups(nodes).items():
        rows = attributes_of(path)
        assert set(attributes) <= set(rows), path
        assert required(rows, attributes) <= set(attributes), path
        for name, value in attributes.items():
            assert is_of(value, rows[name]["type"]), (path, name, value)


def test_every_array_is_as_the_page_says(nodes):
    for group, attributes in groups(nodes).items():
        section, found = section_of(group), arrays_of(nodes, group)
        assert required(section.arrays, attributes) <= set(found), group
        for name, node in found.items():
            row = row_of(section, name)
            if row is None:  # further metadata of each frame
                assert "frames" in found or group.startswith("summary/")
                assert node["dimension_names"] == ["frame"]
                assert node["data_type"] in ("float64", "int64"), (group, name)
                continue
            dims = ", ".join(node["dimension_names"])
            assert dims in row["dimensions"].split(" or "), (group, name)
            assert row["type"] in ("any", node["data_type"]), (group, name)
            assert fill_is(node, row["fill"]), (group, name, node["fill_value"])
            if row["units"] != "any":
                units = node["attributes"].get("units", "")
                assert units in row["units"].split(" or "), (group, name)
            assert node["attributes"].get("long_name") or name == "n_frames", (group, name)


def fill_is(node, words):
    if words == "any":
        return True
    if words == "by type":
        kind = np.dtype(node["data_type"])
        words = {"u": "0", "f": "NaN"}.get(kind.kind) or str(np.iinfo(kind).min)
        if node["attributes"]["_FillValue"] != (0 if kind.kind == "u" else "AAAAAAAA+H8="):
            return False
    return str(node["fill_value"]) in (words, f"{words}.0")


def test_codecs_and_keys_are_those_of_the_page(nodes, store):
    for path, node in nodes.items():
        if node["node_type"] != "array":
            continue
        codecs = node["codecs"]
        if path.endswith("/frames"):
            (shard,) = codecs
            assert shard["name"] == "sharding_indexed"
            inner = shard["configuration"]
            assert inner["chunk_shape"] == [1, *node["shape"][1:]]
            assert inner["index_location"] == "end"
            assert [c["name"] for c in inner["index_codecs"]] == ["bytes", "crc32c"]
            codecs = inner["codecs"]
            assert (store / path / "c" / "0" / "0" / "0").is_file()
        else:
            assert node["chunk_grid"]["configuration"]["chunk_shape"] == node["shape"]
        assert [c["name"] for c in codecs] == ["bytes", "blosc", "crc32c"], path
        assert codecs[0].get("configuration", {"endian": "little"})["endian"] == "little"
        assert BLOSC.items() <= codecs[1]["configuration"].items(), path


def test_everything_the_page_names_is_in_the_store_somewhere(nodes):
    # What needs a run of its own: watched, appended, carried over, misfits, tables of temperature.
    elsewhere = {
        *("watched", "appended", "distortion_transfer", "filter_misfit", "window", "weighted"),
        *("temperature", "high_tension_kv", "magnification"),
        *("psnr_truth", "lag_tail_truth", "streak_truth"),
    }
    for heading, section in SECTIONS.items():
        if not heading.startswith("/"):
            continue
        paths = [p for p in groups(nodes) if pattern(heading).fullmatch(p)]
        assert paths, heading
        arrays = {n for p in paths for n in arrays_of(nodes, p)}
        attributes = {n for p in paths for n in groups(nodes)[p]}
        for name in section.arrays:
            there = name in arrays or (name[0] == "*" and any(a.endswith(name[1:]) for a in arrays))
            assert there or name in elsewhere, (heading, name)
        assert set(section.attributes) - attributes <= elsewhere, heading


def test_the_page_has_every_setting_and_quantity_that_stemscale_knows():
    settings = {f.name for f in fields(ScanSettings)} - {"n_x", "n_y"}
    assert set(SECTIONS[SCAN_SETTINGS].attributes) == settings
    rapid = SECTIONS["/<fov>/rapid"].arrays
    for name in ("time", "timestamp", "temperature"):
        assert rapid[name]["units"] == FRAME_QUANTITIES[name][0]


def test_a_record_has_the_fields_of_the_page(store):
    rows = SECTIONS["Ledger"].fields
    assert list(rows) == [f.name for f in fields(BlockRecord)]
    ledger = ledger_root(store) / "fov01" / "filtered" / "live"
    assert {f.name for f in ledger.iterdir()} >= {"run.json", "lease.json", "blocks"}
    record = json.loads((ledger / "blocks" / "00000000.json").read_text())
    for name, row in rows.items():
        assert is_of(record[name], row["type"]), name


def test_the_checksum_of_the_metadata_is_made_as_the_page_says(store):
    root = json.loads((store / "zarr.json").read_text())
    checksum = root["attributes"].pop("metadata_crc32")
    assert zlib.crc32(json.dumps(root, sort_keys=True).encode()) == checksum


def test_the_content_hash_is_made_as_the_page_says(store):
    opened = AcquisitionStore(store)
    with opened.dataset("fov01/rapid") as rapid:
        text = str(tuple(rapid["frames"].shape))
        rows = zip(rapid["block_size"].values, rapid["block_crc32"].values, strict=True)
        text += "".join(f"{i} {size} {crc32}" for i, (size, crc32) in enumerate(rows))
        assert hashlib.sha256(text.encode()).hexdigest() == rapid.attrs["content_hash"]


def test_the_page_is_of_the_format_that_is_written():
    assert PAGE.read_text().splitlines()[2].startswith(f"Format `{FORMAT}`.")
