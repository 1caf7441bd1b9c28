"""Batches go to a device and come back; where there is no GPU, a recorder stands for streams."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch

from stemscale.denoising.courier import Courier


def batch(value):
    return np.full((2, 1, 4, 4), value, dtype=np.float32)


def double(frames):
    return 2 * frames[:, 0]


devices = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.mark.parametrize("device", devices)
def test_batches_come_back_as_they_were_sent_however_late_they_are_asked_for(device):
    courier = Courier(device)
    started = [courier.start(batch(value), double) for value in range(5)]
    for value in reversed(range(5)):
        np.testing.assert_array_equal(started[value].wait(), batch(2 * value)[:, 0])


class Streams:
    """Writes down what a GPU would be told, in order."""

    def __init__(self):
        self.said = []
        self.names = iter(["there", "back"])
        said = self.said

        class Stream:
            def __init__(self, name):
                self.name = name

            def wait_stream(self, other):
                said.append(f"{self.name} waits for {other.name}")

        class Event:
            def record(self, stream):
                said.append(f"{stream.name} marks the end")

            def synchronize(self):
                said.append("the CPU waits for the mark")

        self.Event = Event
        self._computing = Stream("computing")
        self.Stream = lambda device: Stream(next(self.names))

    def current_stream(self, device):
        return self._computing

    @contextmanager
    def stream(self, stream):
        self.said.append(f"{stream.name} copies")
        yield


def test_a_gpu_copies_beside_computing_and_neither_overtakes_the_other(monkeypatch):
    streams, held = Streams(), []
    monkeypatch.setattr(torch, "get_device_module", lambda device: streams)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda t, stream: held.append(stream.name))

    def work(frames):
        streams.said.append("computing")
        return double(frames)

    started = Courier("cpu").start(batch(3), work)
    assert held == ["computing", "back"]
    np.testing.assert_array_equal(started.wait(), batch(6)[:, 0])
    assert streams.said == [
        "there copies",
        "computing waits for there",
        "computing",
        "back waits for computing",
        "back copies",
        "back marks the end",
        "the CPU waits for the mark",
    ]
