"""A filter in ONNX Runtime against the same filter here."""

import json
from pathlib import Path

import numpy as np
import pytest
from denoising.builders import TINY, scan_of, tiny_filter

import stemscale
from stemscale.denoising import UNetSettings, denoise_frames, onnx_file, series_scale
from stemscale.denoising.onnx_file import export_onnx
from stemscale.denoising.scaling import frame_min_max
from stemscale.errors import FilterError

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

SMALL = {
    "folded, residual": (TINY, "series"),
    "plain": (UNetSettings(width=4, depth=2), "frame_min_max"),
    "three frames": (UNetSettings(width=4, depth=1, frames_in=3, residual=True), "series"),
}
SIZES = [(64, 64), (63, 65), (33, 80), (16, 17), (5, 3), (1, 7), (40, 1), (1, 1)]


@pytest.fixture(scope="module", params=SMALL, ids=str)
def exported(request, tmp_path_factory):
    """A filter, and its file opened in ONNX Runtime."""
    network, normalisation = SMALL[request.param]
    made = tiny_filter(network=network, normalisation=normalisation)
    path = tmp_path_factory.mktemp("onnx") / "tiny.onnx"
    export_onnx(made, path)
    return made, path, onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def run(session, stacks, scales):
    """Filter stacks (batch, frames in, y, x), each on its own scale."""
    inputs = {
        "frames": np.asarray(stacks, dtype=np.float32),
        "center": np.array([s.center for s in scales], dtype=np.float32),
        "spread": np.array([s.spread for s in scales], dtype=np.float32),
    }
    (found,) = session.run(["filtered"], inputs)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_onnx_runtime_gives_the_same_for_frames_of_any_size(exported, size):
    made, _, session = exported
    frames = scan_of(96, frames=4).rapid
    scale = series_scale(frames)
    frames = frames[:, : size[0], : size[1]]
    wanted = denoise_frames(frames, made, scale=scale)
    middle, last = made.network.settings.frames_in // 2, len(frames) - 1
    around = range(-middle, middle + 1)
    stacks = [[frames[min(abs(i + k), 2 * last - (i + k))] for k in around] for i in range(4)]
    if made.normalisation == "series":
        scales = [scale] * 4
    else:
        scales = [frame_min_max(frame) for frame in frames]
    found = run(session, stacks, scales)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= 1e-4 * (np.ptp(frames) or scale.spread)


@pytest.mark.slow
def test_a_frame_alone_is_the_same_as_in_a_batch(exported):
    made, _, session = exported
    frames_in = made.network.settings.frames_in
    frames = scan_of(48, frames=3 * frames_in).rapid
    stacks = frames.reshape(3, frames_in, 48, 48)
    scale = series_scale(frames)
    together = run(session, stacks, [scale] * 3)
    alone = np.concatenate([run(session, one[None], [scale]) for one in stacks])
    assert np.abs(together - alone).max() <= 1e-4 * np.ptp(frames)


@pytest.mark.slow
def test_the_card_and_words_on_each_input_go_along(exported):
    made, _, session = exported
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["stemscale_filter"]) == made.card
    assert f"{made.network.settings.frames_in} in a row" in metadata["frames"]
    words = {"series": "median", "frame_min_max": "minimum of the frame"}
    assert words[made.normalisation] in metadata["center_and_spread"]
    assert metadata["filtered"].startswith("(batch, height, width) [counts]")
    shapes = {i.name: i.shape for i in [*session.get_inputs(), *session.get_outputs()]}
    assert shapes == {
        "frames": ["batch", made.network.settings.frames_in, "height", "width"],
        "center": ["batch"],
        "spread": ["batch"],
        "filtered": ["batch", "height", "width"],
    }


@pytest.mark.slow
def test_the_file_says_nothing_of_the_machine_it_was_made_on(exported):
    _, path, _ = exported
    content = path.read_bytes()
    package = Path(stemscale.__file__).parent
    assert not any(w in content for w in (bytes(package), b".py", b"site-packages", b"torch"))


def test_a_missing_package_is_named_with_its_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "find_spec", lambda name: None)
    with pytest.raises(FilterError, match=r"onnx and onnxscript: pip install 'stemscale\[onnx\]'"):
        export_onnx(tiny_filter(), tmp_path / "tiny.onnx")
    assert list(tmp_path.iterdir()) == []


def test_an_onnx_file_is_named_onnx(tmp_path):
    with pytest.raises(FilterError, match=r"ends in \.onnx"):
        export_onnx(tiny_filter(), tmp_path / "tiny.pt")


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 9, 100])
@pytest.mark.parametrize("multiple", [1, 4, 8])
def test_padding_in_one_step_is_that_of_the_network(n, multiple):
    import torch

    from stemscale.denoising.unet import pad_to_multiple

    line = torch.arange(float(n))
    wanted = pad_to_multiple(line.expand(1, 1, multiple, n), multiple)[0, 0, 0]
    assert torch.equal(line[onnx_file._reflected(n, multiple)], wanted)
