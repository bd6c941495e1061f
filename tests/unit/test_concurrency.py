"""Permits: no more steps than processors, a share for every worker, and no endless wait."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from project.inference.concurrency import ConcurrencyLimiter

DEADLINE = 60.0


class FakeStepCounts:
    """The siblings run as many steps as the test says."""

    def __init__(self, siblings: int) -> None:
        self.running = siblings
        self.published: list[int] = []

    def publish(self, steps: int) -> None:
        self.published.append(steps)

    def siblings(self) -> int:
        return self.running


def make_limiter(
    processors: int = 2, share: int = 1, siblings: int = 0, **options: Any
) -> ConcurrencyLimiter:
    """A limiter to which no step is long, however slow the machine that runs the tests."""
    limiter = ConcurrencyLimiter(processors, share, **{"long_seconds": 3600.0, **options})
    limiter.step_counts = FakeStepCounts(siblings)
    return limiter


class Holder:
    """A thread that acquires a permit and releases it when it is told to."""

    def __init__(self, limiter: ConcurrencyLimiter, owner: str) -> None:
        self.holds = threading.Event()
        self._end = threading.Event()
        self._limiter, self._owner = limiter, owner
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self._limiter.acquire(self._owner)
        self.holds.set()
        self._end.wait(DEADLINE)
        self._limiter.release()

    def end(self) -> None:
        self._end.set()
        self._thread.join(DEADLINE)


@contextmanager
def holders(limiter: ConcurrencyLimiter, *owners: str) -> Iterator[list[Holder]]:
    """Threads in this order: each has its permit, or waits, before the next one asks."""
    made: list[Holder] = []
    try:
        for owner in owners:
            waiting = limiter.waiting
            made.append(Holder(limiter, owner))
            settle = threading.Event()
            while not made[-1].holds.is_set() and limiter.waiting == waiting:
                settle.wait(0.001)
        yield made
    finally:
        for holder in made:
            holder.end()


def test_a_worker_alone_has_every_processor_and_no_more():
    """Two may run, the third waits until one is done."""
    limiter = make_limiter(processors=2)
    with holders(limiter, "a", "a", "a") as (one, two, three):
        assert one.holds.wait(DEADLINE)
        assert two.holds.wait(DEADLINE)
        assert not three.holds.is_set()
        assert limiter.step_counts.published[-1] == 2
        one.end()
        assert three.holds.wait(DEADLINE)
    assert limiter.step_counts.published[-1] == 0


def test_a_worker_has_its_share_however_busy_its_siblings_are():
    """It never waits for another worker, which may be stopped or dead."""
    limiter = make_limiter(processors=2, share=1, siblings=7)
    with holders(limiter, "a", "a") as (one, two):
        assert one.holds.wait(DEADLINE)
        assert not two.holds.is_set()
        assert not limiter.has_spare()


def test_a_processor_that_siblings_leave_idle_is_used_between_two_steps():
    """The second thread runs as soon as the first one counts again."""
    limiter = make_limiter(processors=2, share=1, siblings=1)
    limiter.acquire("a")
    with holders(limiter, "a") as (second,):
        assert not second.holds.is_set()
        limiter.step_counts.running = 0
        assert limiter.has_spare()
        assert limiter.may_continue("a")
        assert second.holds.wait(DEADLINE)
        limiter.release()


def test_a_borrowed_permit_is_released_when_a_sibling_needs_its_share():
    """Between two steps, however much there is left to do."""
    limiter = make_limiter(processors=2, share=1, siblings=0)
    with holders(limiter, "a") as (other,):
        limiter.acquire("a")
        assert other.holds.wait(DEADLINE)
        assert limiter.may_continue("a")
        limiter.step_counts.running = 1
        assert not limiter.may_continue("a")
        limiter.release()
        assert limiter.step_counts.published[-1] == 1  # the share is kept


def test_threads_of_other_models_are_not_kept_waiting():
    """A model under constant load yields to another model after a step, not to itself."""
    limiter = make_limiter(processors=1)
    limiter.acquire("busy")
    assert limiter.may_continue("busy")
    with holders(limiter, "busy", "other") as (same, other):
        assert not limiter.may_continue("busy")
        limiter.release()
        assert same.holds.wait(DEADLINE)  # it came first
        assert not other.holds.is_set()
        same.end()
        assert other.holds.wait(DEADLINE)


def test_a_step_that_hangs_does_not_stop_the_other_models():
    """After a while it no longer counts, and a thread that waits notices by itself."""
    limiter = make_limiter(processors=1, long_seconds=0.05)
    with holders(limiter, "hangs", "other") as (hangs, other):
        assert hangs.holds.wait(DEADLINE)
        assert other.holds.wait(DEADLINE)  # though the first one has not released its permit


def test_a_step_that_hangs_is_not_counted_for_the_siblings():
    """They may use the processor that it may not be using."""
    clock = SimpleNamespace(now=1000.0)
    limiter = make_limiter(processors=1, long_seconds=1.0, clock=lambda: clock.now)
    limiter.acquire("hangs")
    limiter.refresh()
    assert limiter.step_counts.published[-1] == 1
    clock.now += 1.1
    limiter.refresh()
    assert limiter.step_counts.published[-1] == 0
    limiter.release()
