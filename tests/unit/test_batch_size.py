"""The batch size is the one that makes the net fastest."""

import numpy as np
import pytest

from project.inference.batch_size import fastest_batch
from tests.fakes import ShadeModel

SAMPLE = np.zeros((8, 8), np.float32)


class Timed(ShadeModel):
    """A model whose forward pass takes what a table says, on clocks of its own."""

    def __init__(self, seconds: dict[int, float], of_processors: dict[int, float] | None = None):
        super().__init__()
        self.now = 0.0
        self.processor_now = 0.0
        self.seconds = seconds
        self.of_processors = of_processors or dict.fromkeys(seconds, 0.0)

    def forward(self, batch):
        first = len(batch) not in self.batches
        self.now += self.seconds[len(batch)] * (10 if first else 1)  # the first one prepares
        self.processor_now += self.of_processors[len(batch)]
        return super().forward(batch)

    def fastest(self) -> int:
        return fastest_batch(
            self, SAMPLE, clock=lambda: self.now, processor_clock=lambda: self.processor_now
        )


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
def test_it_is_the_smallest_that_is_as_fast_as_any(seconds, expected):
    """The time for each picture decides, not the first run at a size."""
    assert Timed(seconds).fastest() == expected


def test_measuring_a_slow_net_comes_to_an_end():
    """The sizes that there was no time for are not used."""
    model = Timed({1: 3.0, 2: 3.1, 4: 3.2, 8: 3.3})
    assert model.fastest() == 1
    assert model.batches == [1]


def test_a_hiccup_of_the_machine_does_not_decide():
    """Sizes are tried in turn, so that one bad moment spoils one try of each at most."""
    model = Timed({1: 0.010, 2: 0.012, 4: 0.016, 8: 0.024})
    forward, calls = model.forward, iter(range(1000))

    def hiccup(batch):
        if 8 <= next(calls) < 12:  # the third of four rounds
            model.now += 1.0 / 8
        return forward(batch)

    model.forward = hiccup
    assert model.fastest() == 8


def test_the_models_own_largest_is_never_exceeded():
    """Its author knows what fits into memory."""
    model = Timed({1: 0.010, 2: 0.011, 3: 0.012, 4: 0.012})
    model.max_batch = 3
    assert model.fastest() == 2
    assert set(model.batches) == {1, 2}


def test_a_batch_that_the_net_cannot_run_is_passed_over():
    """Too large for the net or for memory: smaller ones serve, and it is not tried again."""
    model = Timed({1: 0.010, 2: 0.012, 4: 0.016, 8: 0.024})
    forward, refused = model.forward, []

    def fail_on_many(batch):
        if len(batch) > 2:
            refused.append(len(batch))
            raise RuntimeError("out of memory")
        return forward(batch)

    model.forward = fail_on_many
    assert model.fastest() == 2
    assert refused == [4]


def test_a_busy_machine_does_not_decide_either():
    """A longer run is interrupted more often, which says nothing of the net."""
    by_clock = {1: 0.0010, 2: 0.0028, 4: 0.0056, 8: 0.0112}
    of_processors = {1: 0.0010, 2: 0.0018, 4: 0.0032, 8: 0.0063}
    assert Timed(by_clock, of_processors).fastest() == 4
