"""The estimate of a model's speed: known from busy time alone, and steady."""

from types import SimpleNamespace

import pytest

from project.inference.service_rate import ServiceRate


@pytest.fixture
def clock():
    return SimpleNamespace(now=1000.0)


@pytest.fixture
def rate(clock):
    return ServiceRate(lambda: clock.now)


def answer(rate, clock, *, after, answers=1):
    """So many answers after so many busy seconds."""
    arrived_at = clock.now
    clock.now += after
    rate.record(answers, arrived_at, contended=True)


def test_it_is_the_interval_between_two_answers_of_a_busy_model(rate, clock):
    """A batch answers several at once."""
    answer(rate, clock, after=0.4, answers=8)
    assert rate.seconds_per_answer == pytest.approx(0.05)


def test_a_short_stall_changes_little_and_a_slower_machine_much(rate, clock):
    """An estimate from the last answer alone would refuse every request after one hiccup."""
    for _ in range(1000):
        answer(rate, clock, after=0.004)
    assert rate.seconds_per_answer == pytest.approx(0.004)
    answer(rate, clock, after=0.1)
    assert rate.seconds_per_answer < 0.0045
    for _ in range(600):
        answer(rate, clock, after=0.016, answers=2)
    assert rate.seconds_per_answer == pytest.approx(0.008, rel=0.02)


def test_an_idle_hour_does_not_count(rate, clock):
    """The interval is counted from the request's arrival, not from the answer before the pause."""
    answer(rate, clock, after=0.01)
    clock.now += 3600
    answer(rate, clock, after=0.01)
    assert rate.seconds_per_answer == pytest.approx(0.01)


def test_answers_of_a_model_that_nothing_waits_for_do_not_count(rate, clock):
    """Their interval shows how often requests come, not how fast the model is."""
    answer(rate, clock, after=0.01)
    for _ in range(100):
        clock.now += 5
        rate.record(1, clock.now - 5, contended=False)
    assert rate.seconds_per_answer == pytest.approx(0.01)
