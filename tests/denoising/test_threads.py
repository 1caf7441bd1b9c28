import time

import pytest
import torch

from stemscale.denoising.threads import ThreadTrial


@pytest.fixture(autouse=True)
def threads_left_as_they_were():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def threads_of_steps(trial, n, seconds):
    """Threads that each of ``n`` steps had, if a step with so many takes ``seconds`` of them."""
    used = []
    for _ in range(n):
        with trial.step():
            used.append(torch.get_num_threads())
            time.sleep(seconds(used[-1]))
    return used


@pytest.mark.parametrize(("slow", "quick"), [(2, 1), (1, 2)])
def test_the_quicker_number_of_threads_is_kept(slow, quick):
    used = threads_of_steps(ThreadTrial(2), 12, lambda n: 0.02 if n == slow else 0.0)
    assert used == [2, 2, 2, 1, 1, 1] + 6 * [quick]


def test_the_trial_is_repeated_as_a_machine_may_become_busy(monkeypatch):
    monkeypatch.setattr("stemscale.denoising.threads._PERIOD", 8)
    trial = ThreadTrial(2)
    assert threads_of_steps(trial, 8, lambda n: 0.02 / n)[-1] == 2
    assert threads_of_steps(trial, 8, lambda n: 0.02 * n)[-1] == 1


def test_with_one_thread_there_is_nothing_to_try():
    torch.set_num_threads(2)
    assert threads_of_steps(ThreadTrial(1), 8, lambda n: 0.0) == 8 * [2]
