"""One model's queue: which requests are admitted, how long they wait, and their answers.

A prediction is admitted before its body is read, then served by the queue's threads (executor.py);
none of that runs on the event loop. Each queue may use all the processors that the worker may:
Gunicorn's shared socket may give one worker all the work.
"""

import asyncio
import math
import time
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from project.errors import DeadlineExceeded, ModelUnavailable, Overloaded
from project.inference.admission import Admission, Slot
from project.inference.encoding import Encoding, is_drawing
from project.inference.executor import Answers, ModelExecutor, Report, Task
from project.inference.frames import FrameClaim
from project.inference.pipeline import Output, Raw
from project.inference.service_rate import ServiceRate
from project.models.base import AnyModel, NoParams, Params, StepModel, sent_size
from project.models.base.inputs import pictures_of
from project.observability import metrics

STUCK_DEADLINES = 3  # a step that runs for so many deadlines counts as hung


@dataclass(frozen=True, slots=True)
class Prediction:
    """A result, what it is sent as, and the seconds that each stage of it took.

    result: a Pydantic model or an image. features: of the inputs; None for a cached result.
    cached: None without a cache. size: (width, height) of the first picture of a stream's frame.
    """

    result: Any
    body: bytes
    media_type: str
    seconds: dict[str, float]
    features: dict[str, float] | None = None
    cached: bool | None = None
    size: tuple[int, int] | None = None


class ModelQueue:
    """Serves one model.

    max_wait_seconds: a request that would wait longer is refused. deadline_seconds: for each
    prediction; None: its caller has one. clock: seconds, monotonic; the executor's own.
    """

    def __init__(
        self,
        model: AnyModel,
        executor: ModelExecutor,
        admission: Admission,
        *,
        max_wait_seconds: float,
        deadline_seconds: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model = model
        self.failure: str | None = "not loaded yet"
        self._executor = executor
        self._admission = admission
        self._max_wait_seconds = min(max_wait_seconds, deadline_seconds or math.inf)
        self._deadline_seconds = deadline_seconds
        self._clock = clock
        self._service_rate = ServiceRate(clock)
        # However slow the model is, each thread may run one request while the next one waits.
        self._always_admitted = 2 * executor.thread_count
        self._stage_seconds = {
            stage: metrics.INFERENCE_STAGE.labels(model.name, stage) for stage in metrics.STAGES
        }

    def limit_batches(self, size: int) -> None:
        """Put at most so many pictures through the net at a time."""
        self._executor.max_batch = size

    def start(self) -> None:
        """Begin to serve; call it on the event loop."""
        metrics.INFERENCE_QUEUE_LIMIT.labels(self.model.name).set(self._admission.limit)
        self._executor.start(self._deliver)

    async def stop(self) -> None:
        """End the threads; whatever still waits is cancelled with its request."""
        await self._executor.stop()

    def is_stuck(self) -> bool:
        """Whether a step has run for so long that it will hardly end; nothing can stop it."""
        started = self._executor.busy_since()
        limit = STUCK_DEADLINES * (self._deadline_seconds or math.inf)
        return started is not None and self._clock() - started > limit

    @property
    def waiting(self) -> int:
        """Requests that no thread has taken up yet."""
        return self._executor.waiting()

    @property
    def admitted(self) -> int:
        """Requests that hold a slot."""
        return self._admission.admitted

    def overload(self) -> Overloaded | None:
        """The error that the next request would be refused with; None where it is admitted."""
        if self._admission.too_many_uploads:
            return self._refusal("slow uploads")
        return self._queue_overload()

    def expect(self) -> None:
        """Reserve a slot for a request that is about to be admitted."""
        self._admission.expect()

    def _queue_overload(self) -> Overloaded | None:
        """As `overload`, for a request whose body is complete."""
        waiting = self._admission.waiting
        late = waiting >= self._always_admitted and self._estimated_wait() > self._max_wait_seconds
        return self._refusal("predictions") if late or self._admission.full else None

    def _estimated_wait(self) -> float:
        """Seconds until all waiting requests are answered at the current rate.

        While frames of streams wait as well, every second answer is for one of them.
        """
        return self._service_rate.seconds_per_answer * self._admission.ahead

    def _refusal(self, what: str) -> Overloaded:
        return Overloaded(
            f"{self.model.name} has as many {what} as it can take; "
            "come back after Retry-After seconds",
            retry_after=max(1, math.ceil(self._estimated_wait())),
        )

    def acquire(self, *, batch: bool = False) -> Slot:
        """A slot for a request whose body is not read yet; the caller releases it.

        batch: whether it is of the class that is shed first, when half of the slots are taken.
        Raises ModelUnavailable or Overloaded.
        """
        self.check_available()
        if overload := self.overload():
            raise overload
        if batch and self._admission.half_full:
            raise self._refusal("predictions of batches")
        return self._admission.acquire()

    def check_available(self) -> None:
        """Raise ModelUnavailable where the model is not loaded, or hangs."""
        if self.failure or self.is_stuck():
            raise ModelUnavailable(
                f"model {self.model.name} does not answer; "
                "its operators find why at /ready and in the log"
            )

    def confirm(self, slot: Slot, *, batch: bool = False) -> None:
        """Hold a slot to the end, now that the body is complete. batch: see `acquire`.

        Raises Overloaded where a slow upload gave its slot back and no other one is free.
        """
        if not slot.held:
            if overload := self._queue_overload():
                raise overload
            if batch and self._admission.half_full:
                raise self._refusal("predictions of batches")
        slot.confirm()

    async def run(
        self, raw: Raw, params: Params, encoding: Encoding, report: Report | None = None
    ) -> Prediction:
        """Predict for the inputs; call it while a confirmed slot is held.

        report: of a model of steps; see Task. Raises DeadlineExceeded, InvalidImage and other
        InvalidInput, ModelFailed, or what `report` raises.
        """
        task = self._task(raw, params, encoding, report)
        started = time.perf_counter()
        try:
            output = await self._serve(task)
        finally:  # a request that gave up waited too: in a jam there is nothing else to measure
            seconds = self._observe(task, time.perf_counter() - started)
        features = task.item.features if task.item else None
        return Prediction(output.result, output.body, encoding.media_type, seconds, features)

    async def run_newest(self, claim: FrameClaim, encoding: Encoding) -> Prediction:
        """Predict for the newest frame of a stream, whichever that is when its step begins.

        It needs no slot: a session has one frame here at a time, and sessions are limited. Raises
        ModelUnavailable, what `run` raises, or the frame's fault.
        """
        self.check_available()
        task = self._task({}, NoParams(), encoding, claim=claim)
        seconds: dict[str, float] = {}
        self._admission.frames += 1
        try:
            output = await self._serve(task)
        finally:
            self._admission.frames -= 1
            if claim.frame is not None:
                seconds = self._observe(task, time.perf_counter() - claim.frame.received_at)
        item = task.item
        features = item.features if item else None
        pictures = (
            [getattr(item.inputs, it) for it in pictures_of(self.model.inputs)] if item else []
        )
        size = sent_size(pictures[0]) if pictures and pictures[0] is not None else None
        return Prediction(
            output.result, output.body, encoding.media_type, seconds, features, size=size
        )

    def _task(
        self,
        raw: Raw,
        params: Params,
        encoding: Encoding,
        report: Report | None = None,
        claim: FrameClaim | None = None,
    ) -> Task:
        future: asyncio.Future[Output] = asyncio.get_running_loop().create_future()
        task = Task(raw, params, encoding, future, self._clock(), report, claim=claim)
        if isinstance(self.model, StepModel):
            task.context = copy_context()
        return task

    async def _serve(self, task: Task) -> Output:
        self._executor.submit(task)
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await task.future
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"the prediction took longer than {self._deadline_seconds:g} s; "
                "send a smaller image or come back later"
            ) from error

    async def encode(self, result: Any, raw: Raw, encoding: Encoding) -> bytes:
        """Encode a result that was cached; one that has to be drawn, in a thread."""
        pipeline = self._executor.pipeline
        if not is_drawing(self.model, encoding):
            return pipeline.encode(result, raw, encoding)
        return await asyncio.to_thread(pipeline.encode, result, raw, encoding)

    def _observe(self, task: Task, total: float) -> dict[str, float]:
        """Count the seconds of each stage; the rest of the total was spent in the queue."""
        known = dict(task.item.seconds) if task.item else {}  # a thread may be adding to it
        seconds = {"queue": max(0.0, total - sum(known.values())), **known}
        for stage, value in seconds.items():
            self._stage_seconds[stage].observe(value)
        return seconds

    def _deliver(self, answers: Answers) -> None:
        """Answer the requests that still wait; runs on the event loop."""
        arrived_at = min(task.arrived_at for task, _ in answers)
        contended = self._executor.waiting() > 0
        self._service_rate.record(len(answers), arrived_at, contended=contended)
        for task, result in answers:
            if not task.is_awaited:
                continue
            if isinstance(result, Exception):
                task.future.set_exception(result)
            else:
                task.future.set_result(result)
