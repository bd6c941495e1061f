"""stepwise: a function with a callback becomes a generator that runs, stops and ends with it."""

import threading
from contextvars import ContextVar

import pytest

from project.models.base.callback_generator import GeneratorClosed, stepwise
from tests.steps import finished


class Counting:
    """Reports four times; remembers how far it came and how it was left."""

    def __init__(self) -> None:
        self.begun = 0
        self.left: BaseException | None = None
        self.thread: threading.Thread | None = None

    def __call__(self, report) -> str:
        self.thread = threading.current_thread()
        try:
            for step in range(1, 5):
                self.begun = step
                report(step / 5)
        except BaseException as error:
            self.left = error
            raise
        return "done"


def test_what_is_reported_is_yielded_and_what_is_returned_is_returned():
    """In that order, nothing lost."""
    assert finished(stepwise(Counting())) == ([0.2, 0.4, 0.6, 0.8], "done")


def test_it_works_only_while_it_is_waited_for():
    """After the second share the third step has not begun."""
    run = Counting()
    steps = stepwise(run)
    assert [next(steps), next(steps)] == [0.2, 0.4]
    assert run.begun == 2
    steps.close()


def test_closing_stops_it_at_its_report_and_ends_its_thread():
    """Nothing goes on in the background."""
    run = Counting()
    steps = stepwise(run)
    next(steps)
    steps.close()
    assert run.begun == 1
    assert isinstance(run.left, GeneratorClosed)
    assert not run.thread.is_alive()


def test_a_generator_that_is_dropped_stops_it_as_well():
    """Python closes it."""
    run = Counting()
    steps = stepwise(run)
    next(steps)
    del steps
    assert not run.thread.is_alive()


def test_a_function_that_does_not_let_itself_be_stopped_is_not_waited_for_at_each_step():
    """It swallows GeneratorClosed and meets it again at once: closing ends in any case."""
    left = []

    def stubborn(report) -> None:
        for _ in range(3):
            try:
                report(0.5)
            except GeneratorClosed:
                left.append(True)

    steps = stepwise(stubborn)
    next(steps)
    steps.close()
    assert left == [True] * 3


def test_what_it_raises_is_raised_where_it_is_waited_for():
    """As if it had run there."""

    def failing(report) -> None:
        report(0.5)
        raise KeyError("scheduler")

    steps = stepwise(failing)
    assert next(steps) == 0.5
    with pytest.raises(KeyError, match="scheduler"):
        next(steps)


def test_a_generator_that_was_never_started_starts_no_thread():
    """Making it costs nothing."""
    run = Counting()
    stepwise(run).close()
    assert run.thread is None


def test_it_sees_the_context_of_its_job():
    """What it logs carries the job's id."""
    job: ContextVar[str] = ContextVar("job")
    job.set("a1")
    assert finished(stepwise(lambda report: job.get())) == ([], "a1")
