"""The threads of one model: each decodes the next input or runs the net, whichever is due.

An input that comes alone is decoded, predicted and answered by one thread without a pause. Where
many wait, batches form by themselves: of what was decoded meanwhile, up to the model's largest,
with no timer. Decoding and the net share the threads, so that no more of them run than there are
processors for them.

A model of steps has no batches: one thread takes a prediction from decoding to encoding, as a
generator may hold what belongs to its thread.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from functools import partial

from loguru import logger

from project.errors import ProjectError
from project.inference.concurrency import LONG_SECONDS, ConcurrencyLimiter
from project.inference.encoding import Encoding
from project.inference.frames import FrameClaim
from project.inference.pipeline import Item, Output, Pipeline, Raw
from project.inference.task_queue import TaskQueue
from project.models.base import BatchModel, Params

STOP_SECONDS = 1.0  # at the end, for steps that run; a forward pass that hangs is not waited for


Report = Callable[[float], None]
"""Takes the share done, 0 to 1, between two steps; an exception of it ends the prediction."""


@dataclass(slots=True, eq=False)
class Task:
    """One prediction that a request waits for.

    report: of a model of steps, called in its thread. context: what the steps run in, so that what
    they log belongs to the request. item: set when the inputs are decoded. claim: of a frame of a
    stream, which has its inputs and parameters; the newest one is taken when its step begins.
    """

    raw: Raw
    params: Params
    encoding: Encoding
    future: asyncio.Future[Output]
    arrived_at: float
    report: Report | None = None
    context: Context | None = None
    item: Item | None = None
    claim: FrameClaim | None = None

    @property
    def is_frame(self) -> bool:
        """Whether it is a frame of a stream."""
        return self.claim is not None

    def take_frame(self) -> None:
        """Take the newest frame of a stream; its fault is raised. Nothing for a request."""
        if self.claim is not None:
            frame = self.claim.take()
            self.raw, self.params = frame.raw, frame.params

    @property
    def is_awaited(self) -> bool:
        """Whether its request still waits."""
        return not self.future.done()


Answers = list[tuple[Task, Output | Exception]]


class ModelExecutor:
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
        model = pipeline.model
        self.max_batch = model.max_batch if isinstance(model, BatchModel) else 1  # of a pass
        self.pipeline = pipeline
        self._in_steps = not isinstance(model, BatchModel)
        self._limiter = limiter
        self._refresh_seconds = refresh_seconds
        self._clock = clock
        self._undecoded: TaskQueue[Task] = TaskQueue()
        self._decoded: deque[Task] = deque()  # waiting for the net
        self._lock = threading.Lock()
        self._idle: list[threading.Lock] = []  # of each thread that sleeps; released to wake it
        self._stopping = False
        self._step_started: list[float | None] = [None] * thread_count
        name = model.name
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
        tasks, step = self._next_step(index)
        if not tasks:
            return
        self._step_started[index] = self._clock()
        try:
            answers = step(tasks)
        except Exception as error:  # noqa: BLE001 - a bug of ours: these tasks fail, others do not
            logger.opt(exception=error).bind(model=self.pipeline.model.name).error("batch_lost")
            answers = [(task, self.pipeline.model_failed()) for task in tasks]
        self._step_started[index] = None
        if answers:
            with suppress(RuntimeError):  # the event loop has ended, and the requests with it
                self._loop.call_soon_threadsafe(self._deliver, answers)

    def _next_step(self, index: int) -> tuple[list[Task], Callable[[list[Task]], Answers]]:
        """The due step and its tasks.

        The net is due once a batch is full, nothing is undecoded, or what is decoded holds as much
        memory as the largest picture may.
        """
        if self._in_steps:
            return _pop_awaited(self._undecoded, 1), partial(self._run_steps, index)
        full = len(self._decoded) >= self.max_batch
        if full or not self._undecoded or self._holds_much():
            return _pop_batch(self._decoded, self.max_batch), self._forward
        return _pop_awaited(self._undecoded, 1), self._prepare

    def _prepare(self, tasks: list[Task]) -> Answers:
        (task,) = tasks
        try:
            task.take_frame()
            task.item = self.pipeline.prepare(task.raw, task.params, task.encoding)
        except ProjectError as error:
            return [(task, error)]
        task.raw = {}  # it may be of megabytes
        self._decoded.append(task)
        return []

    def _forward(self, tasks: list[Task]) -> Answers:
        items = [task.item for task in tasks if task.item]
        return list(zip(tasks, self.pipeline.forward(items), strict=True))

    def _holds_much(self) -> bool:
        """Whether the decoded pictures hold the memory of the largest that is allowed."""
        pixels = sum(task.item.pixels for task in list(self._decoded) if task.item)
        return pixels > self.pipeline.limits.max_pixels

    def _run_steps(self, index: int, tasks: list[Task]) -> Answers:
        """Take one task from its inputs to its result, or to the step after which it is in vain."""
        (task,) = tasks

        def report(share: float) -> None:
            if task.report:
                task.report(share)

        def go_on(share: float) -> bool:
            report(share)
            if not self._limiter.may_continue(self):
                self._step_started[index] = None
                self._limiter.release()
                self._limiter.acquire(self)
            self._step_started[index] = self._clock()  # each step may take its time
            return task.is_awaited and not self._stopping

        def run() -> Output | None:
            task.take_frame()
            task.item = self.pipeline.prepare(task.raw, task.params, task.encoding)
            task.raw = {}
            report(0.0)
            return self.pipeline.run_steps(task.item, go_on)

        try:
            output = task.context.run(run) if task.context else run()
        except Exception as error:  # noqa: BLE001 - ours, or what `report` ends the steps with
            return [(task, error)]
        return [(task, output)] if output else []


def _pop_awaited(tasks: TaskQueue[Task] | deque[Task], limit: int) -> list[Task]:
    """Up to so many tasks that are still awaited; other threads may pop at the same time."""
    popped: list[Task] = []
    with suppress(IndexError):
        while len(popped) < limit:
            task = tasks.popleft()
            if task.is_awaited:
                popped.append(task)
    return popped


def _pop_batch(tasks: deque[Task], limit: int) -> list[Task]:
    """As _pop_awaited, as long as their arrays have the shape of the first one."""
    batch = _pop_awaited(tasks, 1)
    while 0 < len(batch) < limit and (found := _pop_awaited(tasks, 1)):
        if _shape_of(found[0]) != _shape_of(batch[0]):
            tasks.appendleft(found[0])
            break
        batch += found
    return batch


def _shape_of(task: Task) -> tuple[int, ...]:
    return task.item.array.shape if task.item and task.item.array is not None else ()
