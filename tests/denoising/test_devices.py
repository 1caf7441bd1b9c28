import pytest
import torch

from stemscale.denoising import find_devices
from stemscale.errors import SettingsError


@pytest.fixture(params=[0, 2])
def gpus(request, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: request.param)
    return tuple(f"cuda:{i}" for i in range(request.param))


def test_auto_takes_the_gpus_or_else_the_cpu(gpus):
    assert find_devices("auto") == (gpus or ("cpu",))


def test_devices_are_taken_by_name(gpus):
    assert find_devices("cpu") == ("cpu",)
    assert find_devices("cpu,cpu") == ("cpu", "cpu")
    if gpus:
        assert find_devices("cuda") == gpus
        assert find_devices("cuda:1") == ("cuda:1",)


@pytest.mark.parametrize("words", ["cuda:7", "cuda:0,cuda:7"])
def test_a_gpu_that_is_not_there_is_refused(gpus, words):
    with pytest.raises(SettingsError, match=f"--device {words}: torch finds {len(gpus)} GPUs"):
        find_devices(words)


def test_cuda_without_a_gpu_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(SettingsError, match="finds 0 GPUs here; leave it at auto"):
        find_devices("cuda")


@pytest.mark.parametrize("words", ["gpu", "", "cpu,,"])
def test_a_word_that_is_no_device_is_refused(words):
    with pytest.raises(SettingsError, match="torch knows no device"):
        find_devices(words)
