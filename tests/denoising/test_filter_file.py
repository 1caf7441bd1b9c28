import json
import os
import pickle
import re

import pytest
import torch
from denoising.builders import scan_of, tiny_filter
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from stemscale.denoising import (
    Filter,
    denoise_frames,
    filter_hash,
    load_filter,
    save_filter,
    series_scale,
)
from stemscale.errors import FilterError
from stemscale.filter_card import read_card


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "tiny.safetensors"
    save_filter(tiny_filter(), path)
    return path


def card_of(path):
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["stemscale_filter"])


def rewrite(path, *, card=None, tensors=None):
    """Change a filter file as somebody with a hex editor and patience would."""
    new_card = {**card_of(path), **(card or {})}
    new_tensors = {**load_file(path), **(tensors or {})}
    save_file(new_tensors, path, metadata={"stemscale_filter": json.dumps(new_card)})


def test_a_loaded_filter_gives_the_same_output(path):
    frames = scan_of(64, frames=2).rapid
    scale = series_scale(frames)
    one = denoise_frames(frames, tiny_filter(), scale=scale)
    other = denoise_frames(frames, load_filter(path), scale=scale)
    assert (one == other).all()


def test_a_trained_filter_survives_the_file(learned, tmp_path):
    trained, _ = learned
    path = tmp_path / "trained.safetensors"
    save_filter(trained, path)
    loaded = load_filter(path)
    assert {k: v for k, v in loaded.card.items() if k != "sha256"} == trained.card
    save_filter(loaded, tmp_path / "again.safetensors")
    assert filter_hash(tmp_path / "again.safetensors") == filter_hash(path)


def test_the_hash_tells_filters_apart(path, tmp_path):
    save_filter(tiny_filter(seed=1), tmp_path / "other.safetensors")
    assert re.fullmatch("[0-9a-f]{64}", filter_hash(path))
    assert filter_hash(path) != filter_hash(tmp_path / "other.safetensors")


def test_nothing_of_a_failed_write_remains(path, monkeypatch):
    before = path.read_bytes()

    def full_disk(handle):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(FilterError, match="No space left"):
        save_filter(tiny_filter(seed=2), path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_filter_file_is_named_safetensors(tmp_path):
    with pytest.raises(FilterError, match="safetensors"):
        save_filter(tiny_filter(), tmp_path / "tiny.pt")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FilterError, match="nowhere"):
        save_filter(tiny_filter(), tmp_path / "nowhere" / "tiny.safetensors")


def tampered_weights(path):
    name, tensor = next(iter(load_file(path).items()))
    tensor.view(-1)[0] += 1e-6
    rewrite(path, tensors={name: tensor})


def truncated(path):
    path.write_bytes(path.read_bytes()[:-100])


def foreign(path):
    save_file({"weight": torch.zeros(3)}, path)


def no_safetensors(path):
    path.write_bytes(b"PK\x03\x04 a pickle in disguise")


def pickled(path):
    path.write_bytes(pickle.dumps({"stemscale_filter": "{}"}))


def torch_checkpoint(path):
    torch.save({"weight": torch.zeros(3)}, path)


def only_the_header(path):
    content = path.read_bytes()
    path.write_bytes(content[: 8 + int.from_bytes(content[:8], "little")])


def header_too_long(path):
    path.write_bytes((2**62).to_bytes(8, "little") + path.read_bytes()[8:])


def empty(path):
    path.write_bytes(b"")


def wrong_shape(path):
    name, tensor = next(iter(load_file(path).items()))
    rewrite(path, tensors={name: torch.zeros(*tensor.shape, 2)})


def extra_tensor(path):
    rewrite(path, tensors={"backdoor": torch.zeros(3)})


def half_precision(path):
    rewrite(path, tensors={name: t.half() for name, t in load_file(path).items()})


def arguments(**changes):
    def change(path):
        architecture = card_of(path)["architecture"]
        architecture["arguments"].update(changes)
        rewrite(path, card={"architecture": architecture})

    return change


NOT_A_FILTER = [
    (truncated, "not a whole safetensors file"),
    (only_the_header, "not a whole safetensors file"),
    (header_too_long, "not a whole safetensors file"),
    (empty, "not a whole safetensors file"),
    (no_safetensors, "not a whole safetensors file"),
    (pickled, "not a whole safetensors file"),
    (torch_checkpoint, "not a whole safetensors file"),
    (foreign, "no filter of stemscale"),
    (tampered_weights, "changed after"),
    (lambda path: rewrite(path, card={"format_version": 99}), "99"),
    (lambda path: rewrite(path, card={"scores": {"validation_psnr_db": 99}}), "changed after"),
    (lambda path: path.unlink(), "no such file"),
]
NOT_A_FILTER_IDS = [
    "truncated", "only the header", "header too long", "empty", "no safetensors", "pickle",
    "torch checkpoint", "foreign", "weights", "version", "card", "missing",
]  # fmt: skip


@pytest.mark.parametrize(("harm", "says"), NOT_A_FILTER, ids=NOT_A_FILTER_IDS)
@pytest.mark.parametrize("read", [load_filter, read_card])
def test_what_is_no_filter_or_was_changed_is_refused_by_name(path, harm, says, read):
    harm(path)
    with pytest.raises(FilterError, match=says) as error:
        read(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (wrong_shape, "do not fit"),
        (extra_tensor, "do not fit"),
        (half_precision, "float16"),
        (arguments(width=16), "do not fit"),
        (arguments(stem=3), "do not fit"),
        (arguments(kernel=5), "do not fit"),
        (lambda path: rewrite(path, card={"architecture": {"name": "vit"}}), "known is unet"),
        (lambda path: rewrite(path, card={"normalisation": "log"}), "frame_min_max"),
    ],
    ids=[
        "shape", "extra tensor", "half", "width", "stem", "argument", "architecture",
        "normalisation",
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_the_card_are_refused_by_name(path, harm, says):
    harm(path)
    with pytest.raises(FilterError, match=says) as error:
        load_filter(path)
    assert str(path) in str(error.value)


def test_a_card_without_its_entries_is_refused(path):
    save_file(load_file(path), path, metadata={"stemscale_filter": '{"format_version": 1}'})
    with pytest.raises(FilterError, match="lacks architecture"):
        load_filter(path)


def test_a_pickle_is_not_opened_at_all(path):
    class Trap:
        def __reduce__(self):
            return (path.unlink, ())

    path.write_bytes(pickle.dumps(Trap()))
    for read in (load_filter, read_card):
        with pytest.raises(FilterError, match="not a whole safetensors file"):
            read(path)
    assert path.exists()


def test_the_card_is_read_without_the_network(path):
    found = read_card(path)
    assert found.card == load_filter(path).card
    assert found.sha256 == filter_hash(path)
    assert found.n_bytes == path.stat().st_size
    assert found.parameters == sum(w.numel() for w in tiny_filter().network.parameters())


def test_a_card_without_newer_entries_is_read_and_newer_ones_do_no_harm(tmp_path):
    old = tiny_filter()
    new = Filter(old.network, {**old.card, "seen": {"noise": [0.2, 0.4]}, "of_tomorrow": 1})
    for name, one in (("old", old), ("new", new)):
        save_filter(one, tmp_path / f"{name}.safetensors")
        card = load_filter(tmp_path / f"{name}.safetensors").card
        assert {k: v for k, v in card.items() if k != "sha256"} == one.card


@pytest.mark.parametrize("card", ["[]", "7", '"format_version"', "null", "{", '{"scores": NaN}'])
def test_a_card_that_is_no_json_object_is_refused(path, card):
    save_file(load_file(path), path, metadata={"stemscale_filter": card})
    with pytest.raises(FilterError, match="no filter of stemscale"):
        read_card(path)


def test_the_file_holds_no_pickle(path):
    assert isinstance(load_filter(path), Filter)
    assert path.read_bytes()[8:9] == b"{"  # the header's JSON, after its length
