"""Turns: no more steps than processors, a share for every worker, and nobody waits for ever."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from project.inference import concurrency as module
from project.inference.concurrency import ConcurrencyLimiter

DEADLINE = 60.0


@pytest.fixture(autouse=True)
def _no_step_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine that runs the tests."""
    monkeypatch.setattr(module, "LONG_SECONDS", 3600.0)


class FixedBoard:
    """A board on which the others run as many steps as the test says."""

    def __init__(self, others: int) -> None:
        self.running = others
        self.told: list[int] = []

    def tell(self, steps: int) -> None:
        self.told.append(steps)

    def others(self) -> int:
        return self.running


def turns(processors: int = 2, share: int = 1, others: int = 0) -> ConcurrencyLimiter:
    made = ConcurrencyLimiter(processors, share)
    made.board = FixedBoard(others)
    return made


class Taker:
    """A thread that takes a turn and keeps it until it is told to give it back."""

    def __init__(self, of: ConcurrencyLimiter, who: str = "a") -> None:
        self.has = threading.Event()
        self._leave = threading.Event()
        self._of, self._who = of, who
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self._of.take(self._who)
        self.has.set()
        self._leave.wait(DEADLINE)
        self._of.give()

    def leave(self) -> None:
        self._leave.set()
        self._thread.join(DEADLINE)


@contextmanager
def takers(of: ConcurrencyLimiter, *names: str) -> Iterator[list[Taker]]:
    """Threads that ask one after the other: each has its turn, or waits, before the next asks."""
    made: list[Taker] = []
    try:
        for name in names:
            waiting = len(of._waiting)
            made.append(Taker(of, name))
            settle = threading.Event()
            while not made[-1].has.is_set() and len(of._waiting) == waiting:
                settle.wait(0.001)
        yield made
    finally:
        for taker in made:
            taker.leave()


def test_one_worker_alone_has_every_processor_and_no_more():
    """Two may go, the third waits until one is done."""
    of = turns(processors=2)
    with takers(of, "a", "a", "a") as (one, two, three):
        assert one.has.wait(DEADLINE)
        assert two.has.wait(DEADLINE)
        assert not three.has.is_set()
        assert of.board.told[-1] == 2
        one.leave()
        assert three.has.wait(DEADLINE)
    assert of.board.told[-1] == 0


def test_a_worker_has_its_share_however_busy_the_others_are():
    """It never waits for another worker, which may be stopped or dead."""
    of = turns(processors=2, share=1, others=7)
    with takers(of, "a", "a") as (one, two):
        assert one.has.wait(DEADLINE)
        assert not two.has.is_set()
        assert not of.spare()


def test_what_others_leave_idle_is_taken_between_two_steps():
    """The second thread goes as soon as the first looks up."""
    of = turns(processors=2, share=1, others=1)
    of.take("a")
    with takers(of, "a") as (second,):
        assert not second.has.is_set()
        of.board.running = 0
        assert of.spare()
        assert of.go_on("a")
        assert second.has.wait(DEADLINE)
        of.give()


def test_what_was_borrowed_is_given_back_when_its_owner_comes():
    """Between two steps, however much there is left to do."""
    of = turns(processors=2, share=1, others=0)
    with takers(of, "a") as (other,):
        of.take("a")
        assert other.has.wait(DEADLINE)
        assert of.go_on("a")
        of.board.running = 1
        assert not of.go_on("a")
        of.give()
        assert of.board.told[-1] == 1  # the share is kept


def test_threads_of_other_models_are_not_kept_waiting():
    """A model under constant load gives its turn to another after a step, not to itself."""
    of = turns(processors=1)
    of.take("busy")
    assert of.go_on("busy")
    with takers(of, "busy", "other") as (same, other):
        assert not of.go_on("busy")
        of.give()
        assert same.has.wait(DEADLINE)  # it came first
        assert not other.has.is_set()
        same.leave()
        assert other.has.wait(DEADLINE)


def test_a_step_that_hangs_does_not_stop_the_other_models(monkeypatch: pytest.MonkeyPatch):
    """After a while it no longer counts, and who waits notices by himself."""
    monkeypatch.setattr(module, "LONG_SECONDS", 0.05)
    of = turns(processors=1)
    with takers(of, "hangs", "other") as (hangs, other):
        assert hangs.has.wait(DEADLINE)
        assert other.has.wait(DEADLINE)  # though the first has not given its turn back


def test_a_step_that_hangs_is_not_counted_for_the_other_workers(monkeypatch: pytest.MonkeyPatch):
    """They may use the processor that it may not be using."""
    of = turns(processors=1)
    of.take("hangs")
    of.look()
    assert of.board.told[-1] == 1
    monkeypatch.setattr(module, "LONG_SECONDS", -1.0)
    of.look()
    assert of.board.told[-1] == 0
    of.give()
