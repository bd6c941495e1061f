"""One model's lane: who is admitted, how long they wait, and what they get.

A prediction is admitted before its body is read, then served by the lane's threads (streams.py);
nothing of that runs on the event loop. Each lane may use all the processors that the worker may:
Gunicorn's shared socket may give one worker all the work.
"""

import asyncio
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from project.errors import DeadlineExceeded, ModelUnavailable, Overloaded, ProjectError
from project.inference.admission import Admission, Slot
from project.inference.concurrency import ConcurrencyLimiter
from project.inference.drift.features import ImageFeatures
from project.inference.executor import Answers, BatchExecutor, Task
from project.inference.images.decoding import ImageLimits
from project.inference.pipeline import Pipeline
from project.models.base import Model, Params
from project.observability import metrics

STUCK_DEADLINES = 3  # a step that runs for so many deadlines counts as hung
WINDOW_SECONDS = 1.0  # of work, over which the rate is known; a stall of a moment says little


@dataclass(frozen=True, slots=True)
class Prediction:
    """A result, and how many seconds each stage of it took.

    look: of the picture, unless the result was kept. cached: None with no cache.
    """

    result: BaseModel
    seconds: dict[str, float]
    look: ImageFeatures | None = None
    cached: bool | None = None


class ModelQueue:
    """Serves one model.

    limit: predictions admitted at a time; patience: seconds that the last of them may have to
    wait; deadline: seconds for each; streams: threads; turns: what they share with the other lanes.
    """

    def __init__(
        self,
        model: Model[Any, Any],
        limits: ImageLimits,
        *,
        limit: int,
        patience: float,
        deadline: float,
        streams: int,
        turns: ConcurrencyLimiter,
    ) -> None:
        self.model = model
        self.failure: str | None = "not loaded yet"
        self._deadline = deadline
        self._streams = BatchExecutor(Pipeline(model, limits), streams, turns, self._give)
        self._mean_seconds = 0.0  # from one answer to the next, while others wait
        self._recent = (0.0, 0.0)  # seconds of work and answers, the older the less they count
        self._last_answer = 0.0
        self._limit = limit
        self._patience = min(patience, deadline)
        self._assured = 2 * streams  # admitted however slow the model is: one runs, the next waits
        self._places = Admission(limit, metrics.INFERENCE_QUEUE_DEPTH.labels(model.name).set)
        self._stage_seconds = {
            stage: metrics.INFERENCE_STAGE.labels(model.name, stage) for stage in metrics.STAGES
        }

    def limit_batches(self, size: int) -> None:
        """Put so many pictures through the net at a time, at most."""
        self._streams.batch = size

    def start(self) -> None:
        """Begin to serve."""
        metrics.INFERENCE_QUEUE_LIMIT.labels(self.model.name).set(self._limit)
        self._streams.start()

    async def stop(self) -> None:
        """End the threads; whatever still waits is cancelled with its request."""
        await self._streams.stop()

    def is_stuck(self) -> bool:
        """Whether a step runs for so long that it will hardly end; nothing can stop it."""
        began = self._streams.busy_since()
        return began is not None and time.monotonic() - began > STUCK_DEADLINES * self._deadline

    def overload(self) -> Overloaded | None:
        """Why the next caller would be refused."""
        if self._places.crowded:
            return self._refusal("slow uploads")
        return self._no_place()

    def expect(self) -> None:
        """Count on a caller who is about to be admitted."""
        self._places.expect()

    def _no_place(self) -> Overloaded | None:
        """Why a prediction would be refused: no place is free, or it would wait too long."""
        late = self._places.waiting >= self._assured and self._wait() > self._patience
        return self._refusal("predictions") if late or self._places.full else None

    def _wait(self) -> float:
        """Seconds until all whose picture is there are answered, at the current rate."""
        return self._mean_seconds * self._places.waiting

    def _refusal(self, what: str) -> Overloaded:
        return Overloaded(
            f"{self.model.name} has as many {what} as it can take; "
            "come back after Retry-After seconds",
            retry_after=max(1, math.ceil(self._wait())),
        )

    @contextmanager
    def admit(self) -> Iterator[Slot]:
        """Hold one of the lane's places. Raises ModelUnavailable or Overloaded instead."""
        if self.failure or self.is_stuck():
            raise ModelUnavailable(
                f"model {self.model.name} does not answer; "
                "its operators find why at /ready and in the log"
            )
        if overload := self.overload():
            raise overload
        with self._places.take() as place:
            yield place

    def keep(self, place: Slot) -> None:
        """Hold a place to the end, now that the image is there.

        Raises Overloaded where it was so long in coming that its place was given back, and all are
        taken.
        """
        if not place.held and (overload := self._no_place()):
            raise overload
        place.keep()

    async def run(self, data: bytes, params: Params) -> Prediction:
        """Predict for the bytes of one image; call it while a place is kept.

        Raises DeadlineExceeded, InvalidImage and other InvalidInput, or ModelFailed.
        """
        task = Task(data, params, asyncio.get_running_loop().create_future())
        began = time.perf_counter()
        self._streams.add(task)
        try:
            async with asyncio.timeout(self._deadline):
                result = await task.answer
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"the prediction took longer than {self._deadline:g} s; "
                "send a smaller image or come back later"
            ) from error
        finally:  # who gave up has waited too: in a jam that is all there is to see
            seconds = self._observe(task, time.perf_counter() - began)
        return Prediction(result, seconds, task.item.look if task.item else None)

    def _observe(self, task: Task, total: float) -> dict[str, float]:
        """Count what each stage took; the rest of the total was spent in the queue."""
        known = dict(task.item.seconds) if task.item else {}  # a thread may be adding to it
        seconds = {"queue": max(0.0, total - sum(known.values())), **known}
        for stage, value in seconds.items():
            self._stage_seconds[stage].observe(value)
        return seconds

    def _give(self, answers: Answers) -> None:
        """Answer those callers who have not left meanwhile."""
        now = time.monotonic()
        since = max(self._last_answer, min(task.came for task, _ in answers))
        self._last_answer = now
        if self._streams.waiting():  # else the time between answers tells of callers, not of us
            self._learn(now - since, len(answers))
        for task, result in answers:
            if not task.wanted:
                continue
            if isinstance(result, ProjectError):
                task.answer.set_exception(result)
            else:
                task.answer.set_result(result)

    def _learn(self, seconds: float, answers: int) -> None:
        """Know the rate from what was answered in so many seconds of work."""
        fading = math.exp(-seconds / WINDOW_SECONDS)
        worked, answered = self._recent
        self._recent = (worked * fading + seconds, answered * fading + answers)
        self._mean_seconds = self._recent[0] / self._recent[1]
