"""The threads of one model: each decodes the next picture or runs the net, whichever is due.

A picture that comes alone is decoded, predicted and answered by one thread without a pause. Where
many wait, batches form by themselves: of what was decoded meanwhile, up to the model's largest,
with no timer. Decoding and the net share the threads, so that no more of them run than there are
processors for them.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from loguru import logger
from pydantic import BaseModel

from project.errors import ProjectError
from project.inference.concurrency import LONG_SECONDS, ConcurrencyLimiter
from project.inference.pipeline import Item, Pipeline
from project.models.base import Params

STOP_SECONDS = 1.0  # at the end, for steps that run; a forward pass that hangs is not waited for


@dataclass(slots=True, eq=False)
class Task:
    """One prediction that a request waits for. item: set when the picture is decoded."""

    data: bytes
    params: Params
    future: asyncio.Future[BaseModel]
    arrived_at: float
    item: Item | None = None

    @property
    def is_awaited(self) -> bool:
        """Whether its request still waits."""
        return not self.future.done()


Answers = list[tuple[Task, BaseModel | ProjectError]]


class BatchExecutor:
    """Threads that serve tasks as the limiter permits.

    refresh_seconds: interval at which stalled steps are detected. clock: seconds, monotonic.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        thread_count: int,
        limiter: ConcurrencyLimiter,
        *,
        refresh_seconds: float = LONG_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.thread_count = thread_count
        self.max_batch = pipeline.model.max_batch  # pictures in a forward pass
        self._pipeline = pipeline
        self._limiter = limiter
        self._refresh_seconds = refresh_seconds
        self._clock = clock
        self._undecoded: deque[Task] = deque()
        self._decoded: deque[Task] = deque()  # waiting for the net
        self._lock = threading.Lock()
        self._idle: list[threading.Lock] = []  # of each thread that sleeps; released to wake it
        self._stopping = False
        self._step_started: list[float | None] = [None] * thread_count
        name = pipeline.model.name
        self._threads = [
            threading.Thread(target=self._run, args=(index,), name=f"{name}-{index}", daemon=True)
            for index in range(thread_count)
        ]

    def start(self, deliver: Callable[[Answers], None]) -> None:
        """Begin to serve; call it on the event loop that the tasks' futures belong to.

        deliver: called on the event loop with what the threads answered.
        """
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()
        self._refresher = asyncio.create_task(self._refresh())

    async def stop(self, timeout_seconds: float = STOP_SECONDS) -> None:
        """End the threads; whatever still waits is cancelled with its request."""
        self._refresher.cancel()
        self._undecoded.clear()
        self._decoded.clear()
        with self._lock:
            self._stopping = True
            for wake in self._idle:
                wake.release()
        end = time.monotonic() + timeout_seconds
        for thread in self._threads:
            await asyncio.to_thread(thread.join, max(0.0, end - time.monotonic()))

    def submit(self, task: Task) -> None:
        """Have a task served."""
        self._undecoded.append(task)
        self._wake_one()

    def waiting(self) -> int:
        """Tasks that no thread has taken up."""
        return len(self._undecoded) + len(self._decoded)

    def busy_since(self) -> float | None:
        """When the longest of the running steps began, by the clock; None where none runs."""
        return min((began for began in self._step_started if began is not None), default=None)

    async def _refresh(self) -> None:
        """Grant the permits of stalled steps to other threads, so that a hung step blocks none."""
        while True:
            await asyncio.sleep(self._refresh_seconds)
            self._limiter.refresh()
            if self._undecoded or self._decoded:
                self._wake_one()

    def _wake_one(self) -> None:
        """Wake the thread that worked last, if none is awake or the limiter has a spare permit."""
        with self._lock:
            none_awake = len(self._idle) == len(self._threads)
            if self._idle and (none_awake or self._limiter.has_spare()):
                self._idle.pop().release()

    def _run(self, index: int) -> None:
        wake = threading.Lock()
        wake.acquire()
        while self._wait_for_tasks(wake):
            self._limiter.acquire(self)
            keeps_permit = True
            while keeps_permit and (self._undecoded or self._decoded):
                if self._undecoded:
                    self._wake_one()
                self._step(index)
                # Checked after a step: before one, two models could exchange the permit for ever.
                keeps_permit = self._limiter.may_continue(self)
            self._limiter.release()

    def _wait_for_tasks(self, wake: threading.Lock) -> bool:
        """Sleep while there is nothing to do; False once the executor stops."""
        with self._lock:
            if self._stopping:
                return False
            if self._undecoded or self._decoded:
                return True
            self._idle.append(wake)
        wake.acquire()
        return not self._stopping

    def _step(self, index: int) -> None:
        """Run the step that is due, and deliver its answers."""
        tasks, step = self._next_step()
        if not tasks:
            return
        self._step_started[index] = self._clock()
        try:
            answers = step(tasks)
        except Exception as error:  # noqa: BLE001 - a bug of ours: these tasks fail, others do not
            logger.opt(exception=error).bind(model=self._pipeline.model.name).error("batch_lost")
            answers = [(task, self._pipeline.model_failed()) for task in tasks]
        self._step_started[index] = None
        if answers:
            with suppress(RuntimeError):  # the event loop has ended, and the requests with it
                self._loop.call_soon_threadsafe(self._deliver, answers)

    def _next_step(self) -> tuple[list[Task], Callable[[list[Task]], Answers]]:
        """The due step and its tasks: the net once a batch is full or nothing is undecoded."""
        if len(self._decoded) >= self.max_batch or not self._undecoded:
            return _pop_awaited(self._decoded, self.max_batch), self._forward
        return _pop_awaited(self._undecoded, 1), self._prepare

    def _prepare(self, tasks: list[Task]) -> Answers:
        (task,) = tasks
        try:
            task.item = self._pipeline.prepare(task.data, task.params)
        except ProjectError as error:
            return [(task, error)]
        task.data = b""  # it may be of megabytes
        self._decoded.append(task)
        return []

    def _forward(self, tasks: list[Task]) -> Answers:
        items = [task.item for task in tasks if task.item]
        return list(zip(tasks, self._pipeline.forward(items), strict=True))


def _pop_awaited(tasks: deque[Task], limit: int) -> list[Task]:
    """Up to so many tasks that are still awaited; other threads may pop at the same time."""
    popped: list[Task] = []
    with suppress(IndexError):
        while len(popped) < limit:
            task = tasks.popleft()
            if task.is_awaited:
                popped.append(task)
    return popped
