import numpy as np
import pytest
import torch
from denoising.builders import scan_of, tiny_filter

from stemscale.denoising import UNetSettings, denoise_frames, series_scale
from stemscale.denoising.batches import BatchSize
from stemscale.denoising.unet import UNet
from stemscale.errors import FilterError, FrameShapeError

RANGE = 300 * 24  # counts between dark and bright of the builder's frames


@pytest.fixture(scope="module")
def frames():
    return scan_of(96, frames=5, seed=9).rapid


@pytest.fixture(scope="module")
def scale(frames):
    return series_scale(frames)


def test_a_frame_alone_and_inside_a_block_gives_the_same(frames, scale):
    block = denoise_frames(frames, tiny_filter(), scale=scale)
    alone = denoise_frames(frames[3:4], tiny_filter(), scale=scale)
    np.testing.assert_array_equal(block[3], alone[0])


@pytest.mark.parametrize("batch", [2, 4, 64])
@pytest.mark.parametrize("normalisation", ["series", "frame_min_max"])
def test_the_batch_size_does_not_matter(frames, scale, batch, normalisation):
    unit = tiny_filter(normalisation=normalisation)
    one = denoise_frames(frames, unit, scale=scale, batch=1)
    many = denoise_frames(frames, unit, scale=scale, batch=batch)
    np.testing.assert_allclose(many, one, rtol=0, atol=1e-5 * RANGE)


@pytest.mark.parametrize("normalisation", ["series", "frame_min_max"])
def test_gain_and_offset_of_the_input_come_out_again(frames, normalisation):
    unit = tiny_filter(normalisation=normalisation)
    one = denoise_frames(frames, unit, scale=series_scale(frames))
    changed = 3 * frames.astype(np.float64) - 700
    other = denoise_frames(changed, unit, scale=series_scale(changed))
    np.testing.assert_allclose(other, 3 * one - 700, atol=1e-3 * RANGE)


def test_unsigned_integers_are_filtered_like_floats(frames, scale):
    counts = frames.astype(np.uint16)
    one = denoise_frames(counts, tiny_filter(), scale=scale)
    other = denoise_frames(counts.astype(np.float32), tiny_filter(), scale=scale)
    assert one.dtype == np.float32
    np.testing.assert_array_equal(one, other)


def test_unseen_pixels_stay_unseen_and_change_nothing_far_away(frames, scale):
    holed = frames.copy()
    holed[:, :, 90:] = np.nan
    result = denoise_frames(holed, tiny_filter(), scale=scale)
    np.testing.assert_array_equal(np.isnan(result), np.isnan(holed))
    whole = denoise_frames(frames, tiny_filter(), scale=scale)
    far = np.s_[:, :, : 90 - tiny_filter().network.settings.halo_px]
    np.testing.assert_array_equal(result[far], whole[far])


def test_a_frame_that_was_not_seen_at_all_stays_so(frames, scale):
    blind = np.full_like(frames[:1], np.nan)
    for normalisation in ("series", "frame_min_max"):
        result = denoise_frames(blind, tiny_filter(normalisation=normalisation), scale=scale)
        assert np.isnan(result).all()


@pytest.mark.parametrize("size", [(96, 96), (95, 83), (17, 96), (16, 16), (3, 5), (1, 1)])
def test_every_size_is_filtered(frames, scale, size):
    result = denoise_frames(frames[:, : size[0], : size[1]], tiny_filter(), scale=scale)
    assert result.shape == (5, *size)
    assert np.isfinite(result).all()


@pytest.mark.parametrize(
    "network",
    [
        UNetSettings(width=4, depth=1, stem=2, residual=True),
        UNetSettings(width=4, depth=2),
        UNetSettings(width=4, depth=1, stem=4),
        UNetSettings(width=2, depth=3),  # a halo that is no multiple of the pooling grid
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [(160, 160), (150, 171), (150, 31)])
def test_tiles_give_the_same_as_the_whole_frame(network, size):
    frame = scan_of(176, frames=1, seed=4).rapid[:, : size[0], : size[1]]
    scale = series_scale(frame)
    unit = tiny_filter(network=network)
    smallest = (network.multiple_px * (1 + 2 * -(-network.halo_px // network.multiple_px))) ** 2
    assert smallest < 160 * 160
    whole = denoise_frames(frame, unit, scale=scale)
    for max_pixels in {smallest, min(2 * smallest, 20_000)} - {0}:
        tiled = denoise_frames(frame, unit, scale=scale, max_pixels=max(max_pixels, smallest))
        np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-4 * RANGE)


def test_a_frame_of_4096_px_in_tiles_is_the_same_as_whole():
    frame = np.tile(scan_of(176, frames=1, seed=4).rapid, (1, 24, 24))[:, :4096, :4093]
    scale = series_scale(frame)
    unit = tiny_filter(network=UNetSettings(width=2, depth=1, stem=2, residual=True))
    whole = denoise_frames(frame, unit, scale=scale, max_pixels=4096 * 4096)
    tiled = denoise_frames(frame, unit, scale=scale)
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-4 * RANGE)


class Device:
    """A device with little memory: what does not fit ends like on a GPU."""

    def __init__(self, monkeypatch, pixels):
        self.asked = []
        real = UNet.forward_padded

        def forward(network, padded):
            shape = (padded.shape[0], *padded.shape[-2:])
            self.asked.append(shape)
            if np.prod(shape) > pixels:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return real(network, padded)

        monkeypatch.setattr(UNet, "forward_padded", forward)


def test_the_batch_is_halved_where_memory_ends(frames, scale, monkeypatch):
    whole = denoise_frames(frames, tiny_filter(), scale=scale)
    device = Device(monkeypatch, pixels=2 * 96 * 96)
    found = denoise_frames(frames, tiny_filter(), scale=scale, batch=5)
    np.testing.assert_allclose(found, whole, rtol=0, atol=1e-5 * RANGE)
    assert [shape[0] for shape in device.asked] == [5, 2, 2, 1]


def test_one_frame_too_large_for_the_memory_is_filtered_in_tiles(frames, scale, monkeypatch):
    unit = tiny_filter(network=UNetSettings(width=4, depth=1))
    whole = denoise_frames(frames[:1], unit, scale=scale)
    device = Device(monkeypatch, pixels=50 * 50)
    found = denoise_frames(frames[:1], unit, scale=scale)
    np.testing.assert_allclose(found, whole, rtol=0, atol=1e-4 * RANGE)
    assert device.asked[0] == (1, 96, 96)


def test_what_found_room_is_remembered(frames, scale, monkeypatch):
    unit = tiny_filter(network=UNetSettings(width=4, depth=1))
    device = Device(monkeypatch, pixels=50 * 50)
    denoise_frames(frames[:1], unit, scale=scale, batch="trial")
    device.asked.clear()
    denoise_frames(frames[1:2], unit, scale=scale, batch="trial")
    assert all(np.prod(shape) <= 50 * 50 for shape in device.asked)


def test_a_memory_too_small_for_a_tile_is_told(frames, scale, monkeypatch):
    Device(monkeypatch, pixels=10)
    with pytest.raises(FilterError, match="no tile of a frame finds room in memory"):
        denoise_frames(frames[:1], tiny_filter(), scale=scale)


def test_what_finds_no_room_on_a_device_goes_to_the_cpu(frames, scale, monkeypatch):
    real = UNet.forward_padded

    def forward(network, padded):
        if padded.device.type == "meta":  # stands for a GPU: it takes tensors, and has no memory
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(network, padded)

    unit, again = tiny_filter(), tiny_filter()
    whole = denoise_frames(frames, unit, scale=scale)
    monkeypatch.setattr(UNet, "forward_padded", forward)
    moved = []

    def network_on(filter, device):
        moved.append(device)
        return again.network if device == "cpu" else unit.network

    monkeypatch.setattr(type(unit), "network_on", network_on)
    found = denoise_frames(frames, unit, scale=scale, device="meta")
    np.testing.assert_allclose(found, whole, rtol=0, atol=1e-5 * RANGE)
    assert moved[-1] == "cpu"
    moved.clear()
    denoise_frames(frames, unit, scale=scale, device="meta")
    assert moved == ["cpu"]


def test_a_trial_finds_the_quickest_batch_and_keeps_it(frames, scale):
    unit = tiny_filter()
    whole = denoise_frames(frames, unit, scale=scale)
    found = denoise_frames(frames, unit, scale=scale, batch="trial")
    np.testing.assert_allclose(found, whole, rtol=0, atol=1e-5 * RANGE)
    assert unit.batch_size("cpu", (96, 96)) is unit.batch_size("cpu", (96, 96))


def test_a_trial_doubles_as_long_as_that_is_quicker():
    size = BatchSize()
    tried = []
    for seconds in (1.0, 1.5, 2.0, 4.0, 4.0):  # 1, 1.33, 2, 2 frames/s
        tried.append(size.now)
        size.done(size.now, seconds)
    assert tried == [1, 2, 4, 8, 4]
    assert size.now == 4
    size.done(4, 0.01)  # the trial is over
    assert size.now == 4


def test_the_rest_of_a_block_says_nothing_of_a_batch():
    size = BatchSize()
    size.done(1, 1.0)
    size.done(1, 9.0)
    assert size.now == 2


def test_tiles_too_small_for_the_network_are_refused(frames, scale):
    with pytest.raises(FilterError, match="allow"):
        denoise_frames(frames, tiny_filter(), scale=scale, max_pixels=100)


@pytest.mark.parametrize("shape", [(96, 96), (2, 0, 96), (1, 1, 8, 8)])
def test_wrong_shapes_are_refused(scale, shape):
    with pytest.raises(FrameShapeError, match="needed is"):
        denoise_frames(np.ones(shape, np.float32), tiny_filter(), scale=scale)


def test_no_frame_gives_no_frame(frames, scale):
    assert denoise_frames(frames[:0], tiny_filter(), scale=scale).shape == (0, 96, 96)


def test_a_batch_below_1_is_refused(frames, scale):
    with pytest.raises(FilterError, match="batch is 0"):
        denoise_frames(frames, tiny_filter(), scale=scale, batch=0)


def test_the_input_is_left_as_it_was(frames, scale):
    before = frames.copy()
    denoise_frames(frames, tiny_filter(), scale=scale)
    np.testing.assert_array_equal(frames, before)
