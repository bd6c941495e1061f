"""Runs a function that reports progress through a callback as a generator that yields it."""

from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextvars import copy_context
from queue import SimpleQueue
from threading import Event, Semaphore, Thread
from typing import TypeVar

T = TypeVar("T")
Report = Callable[[float], None]


class GeneratorClosed(Exception):
    """Raised in the function where it reports: its result is no longer wanted."""


def stepwise(run: Callable[[Report], T]) -> Generator[float, None, T]:
    """Run a function in a thread, in step with the consumer of the generator.

    run: gets the callback to report the share done with. Yields each reported share; returns what
    the function returns and raises what it raises. The function runs only while the next share is
    being waited for. Closing the generator stops the function at its next report, and returns when
    its thread has ended.
    """
    outcome: Future[T] = Future()
    reported: SimpleQueue[float | None] = SimpleQueue()  # None: the function has ended
    resume, closed = Semaphore(0), Event()

    def report(share: float) -> None:
        if not closed.is_set():
            reported.put(share)
            resume.acquire()
        if closed.is_set():
            raise GeneratorClosed

    def work() -> None:
        try:
            outcome.set_result(run(report))
        except BaseException as error:  # noqa: BLE001 - raised again in the consumer
            outcome.set_exception(error)
        finally:
            reported.put(None)

    # A copy of the context: what it logs belongs to this job. A daemon: no step delays an exit.
    thread = Thread(target=copy_context().run, args=(work,), name="stepwise", daemon=True)
    thread.start()
    try:
        while (share := reported.get()) is not None:
            yield share
            resume.release()
    finally:
        closed.set()
        resume.release()
        thread.join()
    return outcome.result()
