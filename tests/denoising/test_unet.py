import pytest
import torch

from stemscale.denoising import UNet, UNetSettings
from stemscale.denoising.unet import pad_to_multiple
from stemscale.errors import SettingsError


def test_the_paper_network_is_that_of_ronneberger():
    """Row F1. A 3x3 convolution a → b has 9ab + b weights, a 2x2 transposed one 4ab + b.

    down:  1→64→64                37,568      up: 1024→512 (2x2)        2,097,664
           64→128→128            221,440          1024→512→512          7,078,912
           128→256→256           885,248          512→256, 512→256→256  2,294,528
           256→512→512         3,539,968          256→128, 256→128→128    573,824
           512→1024→1024      14,157,824          128→64, 128→64→64       143,552
    head 1x1, 64→1: 65.
    """
    down = 37_568 + 221_440 + 885_248 + 3_539_968 + 14_157_824
    up = 2_097_664 + 7_078_912 + 2_294_528 + 573_824 + 143_552
    with torch.device("meta"):
        network = UNet(UNetSettings())
    assert sum(weights.numel() for weights in network.parameters()) == down + up + 65


@pytest.mark.parametrize("stem", [1, 2, 4])
@pytest.mark.parametrize("frames_in", [1, 3])
@pytest.mark.parametrize("size", [(32, 48), (33, 47), (5, 70), (1, 1)])
def test_a_frame_of_any_size_keeps_its_size(stem, frames_in, size):
    network = UNet(UNetSettings(width=4, depth=2, stem=stem, frames_in=frames_in))
    assert network(torch.randn(2, frames_in, *size)).shape == (2, 1, *size)


def test_a_residual_network_starts_with_the_mean_of_its_frames():
    network = UNet(UNetSettings(width=4, depth=2, stem=2, residual=True, frames_in=3))
    frames = torch.randn(1, 3, 16, 16)
    assert torch.equal(network(frames), frames.mean(dim=1, keepdim=True))
    single = UNet(UNetSettings(width=4, depth=2, stem=2, residual=True))
    assert torch.equal(single(frames[:, :1]), frames[:, :1])


def test_a_network_of_several_frames_starts_by_looking_at_their_mean():
    network = UNet(UNetSettings(width=4, depth=2, stem=2, frames_in=5))
    frames = torch.randn(1, 5, 16, 16)
    alike = frames.mean(dim=1, keepdim=True).expand_as(frames)
    torch.testing.assert_close(network(frames), network(alike))


def test_the_frame_continues_by_reflection_at_the_bottom_and_at_the_right():
    # 0 1 2 | 1 0 | 1 ...: the second reflection starts from what the first has made
    frame = torch.tensor([[[[0.0, 1.0, 2.0]]]])
    assert pad_to_multiple(frame, 8)[0, 0, 0].tolist() == [0, 1, 2, 1, 0, 1, 2, 1]
    assert pad_to_multiple(frame.mT, 8)[0, 0, :, 0].tolist() == [0, 1, 2, 1, 0, 1, 2, 1]
    assert pad_to_multiple(frame, 1) is frame


LEAN = {"down_convolutions": 1, "lowest_convolutions": 2, "up_convolutions": 1, "skip": "add"}


def test_a_lean_network_has_the_weights_of_its_convolutions():
    """1→8, 8→16, 16→32→32 down; 32→16 (2x2), 16→16, 16→8 (2x2), 8→8 up; head 8→1."""
    network = UNet(UNetSettings(width=8, depth=2, **LEAN))
    down = (9 * 1 * 8 + 8) + (9 * 8 * 16 + 16) + (9 * 16 * 32 + 32) + (9 * 32 * 32 + 32)
    up = (4 * 32 * 16 + 16) + (9 * 16 * 16 + 16) + (4 * 16 * 8 + 8) + (9 * 8 * 8 + 8)
    assert sum(weights.numel() for weights in network.parameters()) == down + up + (8 + 1)


@pytest.mark.parametrize("wrong", [{"skip": "multiply"}, {"up_convolutions": 0}], ids=str)
def test_what_cannot_be_built_is_refused(wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        UNetSettings(**wrong)


@pytest.mark.parametrize(
    "settings",
    [{"depth": 2}, {"depth": 1, "stem": 4}, {"depth": 0}, {"depth": 2, **LEAN}],
    ids=str,
)
def test_no_pixel_beyond_the_halo_matters(settings):
    torch.manual_seed(0)
    settings = UNetSettings(width=16, residual=True, **settings)
    network = UNet(settings)
    torch.nn.init.normal_(network.head.weight)
    frame = torch.randn(1, 1, 96, 96, requires_grad=True)
    farthest = 0
    for at in range(48, 48 + settings.multiple_px):  # every place on the pooling grid
        (slope,) = torch.autograd.grad(network(frame)[0, 0, at, at], frame)
        farthest = max(farthest, int((slope[0, 0].nonzero() - at).abs().max()))
    assert settings.halo_px / 2 < farthest <= settings.halo_px


@pytest.mark.parametrize(
    "wrong", [{"frames_in": 2}, {"frames_in": 0}, {"width": 0}, {"depth": -1}, {"stem": 3}]
)
def test_networks_that_cannot_be_built_are_refused(wrong):
    with pytest.raises(SettingsError, match=str(next(iter(wrong.values())))):
        UNetSettings(**wrong)
