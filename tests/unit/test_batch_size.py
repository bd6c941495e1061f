"""The batch size is the one that makes the net fastest."""

import numpy as np
import pytest

from project.inference import batch_size
from project.inference.batch_size import fastest_batch
from tests.fakes import ShadeModel

SAMPLE = np.zeros((8, 8), np.float32)


class Timed(ShadeModel):
    """A model whose forward pass takes what a table says, on a clock of the test's own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: dict[int, float]) -> None:
        super().__init__()
        self.now = 0.0
        self.worked = 0.0
        self.seconds = seconds
        monkeypatch.setattr(batch_size.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(batch_size.time, "process_time", lambda: self.worked)

    def forward(self, batch):
        first = len(batch) not in self.batches
        self.now += self.seconds[len(batch)] * (10 if first else 1)  # the first prepares
        return super().forward(batch)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({1: 0.010, 2: 0.012, 4: 0.016, 8: 0.024}, 8),  # an accelerator
        ({1: 0.010, 2: 0.024, 4: 0.060, 8: 0.200}, 1),  # torch as it is
        ({1: 0.010, 2: 0.018, 4: 0.030, 8: 0.064}, 4),
        ({1: 0.010, 2: 0.0199, 4: 0.0396, 8: 0.0784}, 1),  # no gain worth the longer wait
        ({1: 0.010, 2: 0.021, 4: 0.030, 8: 0.0596}, 4),  # a bad step on the way to a good one
    ],
)
def test_it_is_the_least_that_is_as_fast_as_any(monkeypatch, seconds, expected):
    """The time for each picture decides, not the first run at a size."""
    assert fastest_batch(Timed(monkeypatch, seconds), SAMPLE) == expected


def test_a_slow_net_is_not_measured_for_ever(monkeypatch):
    """Loading must come to an end; the sizes that there was no time for are not used."""
    model = Timed(monkeypatch, {1: 3.0, 2: 3.1, 4: 3.2, 8: 3.3})
    assert fastest_batch(model, SAMPLE) == 1
    assert model.batches == [1]


def test_a_hiccup_of_the_machine_does_not_decide(monkeypatch):
    """Sizes are tried in turn, so that one bad moment spoils one try of each at most."""
    model = Timed(monkeypatch, {1: 0.010, 2: 0.012, 4: 0.016, 8: 0.024})
    forward, calls = model.forward, iter(range(1000))

    def hiccup(batch):
        if 8 <= next(calls) < 12:  # the third of four rounds
            model.now += 1.0 / 8
        return forward(batch)

    model.forward = hiccup  # type: ignore[method-assign]
    assert fastest_batch(model, SAMPLE) == 8


def test_the_models_own_largest_is_never_exceeded(monkeypatch):
    """Its author knows what fits into memory."""
    model = Timed(monkeypatch, {1: 0.010, 2: 0.011, 3: 0.012, 4: 0.012})
    model.max_batch = 3
    assert fastest_batch(model, SAMPLE) == 2
    assert set(model.batches) == {1, 2}


def test_a_busy_machine_does_not_decide_either(monkeypatch):
    """What runs for longer is interrupted more often; that says nothing of the net."""
    model = Timed(monkeypatch, {1: 0.0010, 2: 0.0028, 4: 0.0056, 8: 0.0112})
    forward = model.forward

    def work(batch):
        model.worked += {1: 0.0010, 2: 0.0018, 4: 0.0032, 8: 0.0063}[len(batch)]
        return forward(batch)

    model.forward = work  # type: ignore[method-assign]
    assert fastest_batch(model, SAMPLE) == 4
