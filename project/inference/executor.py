"""The threads of one model. Each does what is due: decode the next picture, or run the net.

A picture that comes alone is decoded, predicted and answered by one thread without a pause. Where
many wait, batches form by themselves: of what was decoded meanwhile, up to the model's largest,
with no timer. Decoding and the net share the threads, so that there are never more at work than
the processors they are meant for.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from loguru import logger
from pydantic import BaseModel

from project.errors import ProjectError
from project.inference.concurrency import LONG_SECONDS, ConcurrencyLimiter
from project.inference.pipeline import Item, Pipeline
from project.models.base import Params

LEAVE_SECONDS = 1.0  # for what runs at the end; a forward pass that hangs is not waited for


@dataclass(slots=True, eq=False)
class Task:
    """One prediction that somebody waits for. item: what it became once decoded."""

    data: bytes
    params: Params
    answer: asyncio.Future[BaseModel]
    item: Item | None = None
    came: float = field(default_factory=time.monotonic)

    @property
    def wanted(self) -> bool:
        """Whether its caller still waits."""
        return not self.answer.done()


Answers = list[tuple[Task, BaseModel | ProjectError]]


class BatchExecutor:
    """count threads that serve tasks as they get turns.

    give: called on the event loop with what they answered.
    """

    def __init__(
        self,
        stages: Pipeline,
        count: int,
        turns: ConcurrencyLimiter,
        give: Callable[[Answers], None],
    ) -> None:
        self._stages = stages
        self._turns = turns
        self._give = give
        self.batch = stages.model.max_batch  # pictures in a forward pass, at most
        self._coming: deque[Task] = deque()  # not yet decoded
        self._ready: deque[Task] = deque()  # waiting for the net
        self._lock = threading.Lock()
        self._idle: list[threading.Lock] = []  # of each thread that sleeps; released to wake it
        self._ending = False
        self._busy_since: list[float | None] = [None] * count
        name = stages.model.name
        self._threads = [
            threading.Thread(target=self._run, args=(stream,), name=f"{name}-{stream}", daemon=True)
            for stream in range(count)
        ]

    def start(self) -> None:
        """Begin to serve; call on the event loop that the tasks' futures belong to."""
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()
        self._watcher = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """End the threads; whatever still waits is cancelled with its request."""
        self._watcher.cancel()
        self._coming.clear()
        self._ready.clear()
        with self._lock:
            self._ending = True
            for gate in self._idle:
                gate.release()
        end = time.monotonic() + LEAVE_SECONDS
        for thread in self._threads:
            await asyncio.to_thread(thread.join, max(0.0, end - time.monotonic()))

    def add(self, task: Task) -> None:
        """Have a task served."""
        self._coming.append(task)
        self._wake_one()

    def waiting(self) -> int:
        """Tasks that no thread has in hand."""
        return len(self._coming) + len(self._ready)

    def busy_since(self) -> float | None:
        """When the longest of the steps that run now began, by the monotonic clock."""
        return min((began for began in self._busy_since if began is not None), default=None)

    async def _watch(self) -> None:
        """See to it that a step that hangs holds up nothing but itself."""
        while True:
            await asyncio.sleep(LONG_SECONDS)
            self._turns.look()
            if self._coming or self._ready:
                self._wake_one()

    def _wake_one(self) -> None:
        """Wake the thread that worked last, if none is awake or there is a turn for another."""
        with self._lock:
            none_awake = len(self._idle) == len(self._threads)
            if self._idle and (none_awake or self._turns.spare()):
                self._idle.pop().release()

    def _run(self, stream: int) -> None:
        gate = threading.Lock()
        gate.acquire()
        while self._is_due_or_sleep(gate):
            self._turns.take(self)
            going = True
            while going and (self._coming or self._ready):
                if self._coming:
                    self._wake_one()
                self._step(stream)
                going = self._turns.go_on(self)  # after a step, or two models hand it to and fro
            self._turns.give()

    def _is_due_or_sleep(self, gate: threading.Lock) -> bool:
        """Sleep while there is nothing to do; False once there never will be."""
        with self._lock:
            if self._ending:
                return False
            if self._coming or self._ready:
                return True
            self._idle.append(gate)
        gate.acquire()
        return not self._ending

    def _step(self, stream: int) -> None:
        """Do what is due, and answer who can be answered."""
        tasks, step = self._due()
        if not tasks:
            return
        self._busy_since[stream] = time.monotonic()
        try:
            answers = step(tasks)
        except Exception as error:  # noqa: BLE001 - a bug of ours: these fail, all goes on
            logger.opt(exception=error).bind(model=self._stages.model.name).error("batch_lost")
            answers = [(task, self._stages.failed()) for task in tasks]
        self._busy_since[stream] = None
        if answers:
            with suppress(RuntimeError):  # the loop has ended, and with it who waited
                self._loop.call_soon_threadsafe(self._give, answers)

    def _due(self) -> tuple[list[Task], Callable[[list[Task]], Answers]]:
        """The next step and its tasks: the net once a batch is full or nothing is to be decoded."""
        if len(self._ready) >= self.batch or not self._coming:
            return _take(self._ready, self.batch), self._forward
        return _take(self._coming, 1), self._prepare

    def _prepare(self, tasks: list[Task]) -> Answers:
        (task,) = tasks
        try:
            task.item = self._stages.prepare(task.data, task.params)
        except ProjectError as error:
            return [(task, error)]
        task.data = b""  # it may be of megabytes
        self._ready.append(task)
        return []

    def _forward(self, tasks: list[Task]) -> Answers:
        items = [task.item for task in tasks if task.item]
        return list(zip(tasks, self._stages.forward(items), strict=True))


def _take(tasks: deque[Task], most: int) -> list[Task]:
    """Up to so many whose callers still wait; another thread may take at the same time."""
    taken: list[Task] = []
    with suppress(IndexError):
        while len(taken) < most:
            task = tasks.popleft()
            if task.wanted:
                taken.append(task)
    return taken
