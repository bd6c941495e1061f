"""A function that reports through a callback, run as a generator that yields what it reports."""

from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextvars import copy_context
from queue import SimpleQueue
from threading import Event, Semaphore, Thread
from typing import TypeVar

T = TypeVar("T")
Tell = Callable[[float], None]


class Left(Exception):
    """Raised inside the function where it reports: nobody wants its result any more."""


def stepwise(run: Callable[[Tell], T]) -> Generator[float, None, T]:
    """Run it in a thread, in step with whoever asks for the next share; return what it returns.

    It works only while it is being waited for. A generator that is closed stops it where it reports
    next, and ends when its thread has ended. What it raises is raised here.
    """
    outcome: Future[T] = Future()
    told: SimpleQueue[float | None] = SimpleQueue()  # None: it has ended
    turn, left = Semaphore(0), Event()

    def tell(share: float) -> None:
        if not left.is_set():
            told.put(share)
            turn.acquire()
        if left.is_set():
            raise Left

    def work() -> None:
        try:
            outcome.set_result(run(tell))
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits for it
            outcome.set_exception(error)
        finally:
            told.put(None)

    # A copy of the context: what it logs belongs to this job. A daemon: no step delays an exit.
    thread = Thread(target=copy_context().run, args=(work,), name="stepwise", daemon=True)
    thread.start()
    try:
        while (share := told.get()) is not None:
            yield share
            turn.release()
    finally:
        left.set()
        turn.release()
        thread.join()
    return outcome.result()
