"""One model's lane: its bounded queue, its batches, and who waits for what.

A prediction is decoded and preprocessed in a small pool, waits for the forward pass, goes through
it together with whatever else waits at that moment (no timer), and is postprocessed. Nothing of
that runs on the event loop. There are as many forward passes at a time as the worker may use
processors: Gunicorn's shared socket may give one worker all the work.
"""

import asyncio
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from loguru import logger
from pydantic import BaseModel

from project.errors import DeadlineExceeded, ModelUnavailable, Overloaded, ProjectError
from project.inference.images import ImageLimits
from project.inference.stages import Item, Stages
from project.models._base import Model, Params
from project.observability import metrics

STUCK_DEADLINES = 3  # a forward pass that runs for so many deadlines counts as hung
SMOOTHING = 0.1  # weight of the newest prediction in the running mean that Retry-After is made from


@dataclass(frozen=True, slots=True)
class Prediction:
    """A result, and how many seconds each stage of it took."""

    result: BaseModel
    seconds: dict[str, float]


class Lane:
    """Serves one model.

    limit: predictions admitted at a time; deadline: seconds for each; streams: forward passes at
    a time, each in a thread of its own.
    """

    def __init__(
        self,
        model: Model[Any, Any],
        decoders: ThreadPoolExecutor,
        limits: ImageLimits,
        *,
        limit: int,
        deadline: float,
        streams: int,
    ) -> None:
        self.model = model
        self.failure: str | None = "not loaded yet"
        self._decoders = decoders
        self._streams = streams
        self._forwarders = ThreadPoolExecutor(streams, thread_name_prefix=f"forward-{model.name}")
        self._stages = Stages(model, limits)
        self._limit = limit
        self._deadline = deadline
        self._admitted = 0
        self._mean_seconds = 0.0
        self._waiting: asyncio.Queue[tuple[Item, asyncio.Future[BaseModel]]] = asyncio.Queue()
        self._servers: list[asyncio.Task[None]] = []
        self._busy_since: dict[int, float] = {}  # stream → when its forward pass began

    def start(self) -> None:
        """Begin to take batches from the queue."""
        metrics.INFERENCE_QUEUE_LIMIT.labels(self.model.name).set(self._limit)
        self._servers = [asyncio.create_task(self._serve(each)) for each in range(self._streams)]

    async def stop(self) -> None:
        """End the batches; whatever still waits is cancelled with its request.

        A forward pass that hangs is not waited for: the process is about to end.
        """
        for server in self._servers:
            server.cancel()
        await asyncio.gather(*self._servers, return_exceptions=True)
        self._forwarders.shutdown(wait=False, cancel_futures=True)

    def is_stuck(self) -> bool:
        """Whether a forward pass runs for so long that it will hardly end; nothing can stop it."""
        longest = time.monotonic() - STUCK_DEADLINES * self._deadline
        return any(began < longest for began in self._busy_since.values())

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Hold one of the lane's places. Raises ModelUnavailable or Overloaded instead."""
        name = self.model.name
        if self.failure or self.is_stuck():
            raise ModelUnavailable(
                f"model {name} does not answer; its operators find why at /ready and in the log"
            )
        if self._admitted >= self._limit:
            raise Overloaded(
                f"{self._limit} predictions of {name} are waiting; "
                "come back after Retry-After seconds",
                retry_after=max(1, math.ceil(self._mean_seconds * self._admitted)),
            )
        depth = metrics.INFERENCE_QUEUE_DEPTH.labels(name)
        self._admitted += 1
        depth.set(self._admitted)
        try:
            yield
        finally:
            self._admitted -= 1
            depth.set(self._admitted)

    async def run(self, data: bytes, params: Params) -> Prediction:
        """Predict for the bytes of one image; call it while a place is held.

        Raises DeadlineExceeded, InvalidImage and other InvalidInput, or ModelFailed.
        """
        try:
            async with asyncio.timeout(self._deadline):
                return await self._pass_through(data, params)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"the prediction took longer than {self._deadline:g} s; "
                "send a smaller image or come back later"
            ) from error

    async def _pass_through(self, data: bytes, params: Params) -> Prediction:
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        item = await loop.run_in_executor(self._decoders, self._stages.prepare, data, params)
        answer: asyncio.Future[BaseModel] = loop.create_future()
        self._waiting.put_nowait((item, answer))
        try:
            result = await answer
        finally:  # who gave up has waited too: in a jam that is all there is to see
            total = time.perf_counter() - began
            known = dict(item.seconds)  # a thread may be adding to it
            seconds = {"queue": max(0.0, total - sum(known.values())), **known}
            for stage, value in seconds.items():
                metrics.INFERENCE_STAGE.labels(self.model.name, stage).observe(value)
        return Prediction(result, seconds)

    async def _serve(self, stream: int) -> None:
        """Form batches from what already waits, for ever."""
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < self.model.max_batch and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            batch = [(item, answer) for item, answer in batch if not answer.done()]  # who is left
            if batch:
                began = self._busy_since[stream] = time.monotonic()
                results = await self._forward([item for item, _ in batch])
                del self._busy_since[stream]
                share = (time.monotonic() - began) / len(batch) / self._streams
                self._mean_seconds += SMOOTHING * (share - self._mean_seconds)
                for (_, answer), result in zip(batch, results, strict=True):
                    _give(answer, result)

    async def _forward(self, items: list[Item]) -> list[BaseModel | ProjectError]:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._forwarders, self._stages.forward, items)
        except Exception as error:  # noqa: BLE001 - a bug of ours: these fail, the lane goes on
            logger.opt(exception=error).bind(model=self.model.name).error("batch_lost")
            return [self._stages.failed() for _ in items]


def _give(answer: asyncio.Future[BaseModel], result: BaseModel | ProjectError) -> None:
    """Answer the caller, unless he has left meanwhile."""
    if answer.done():
        return
    if isinstance(result, ProjectError):
        answer.set_exception(result)
    else:
        answer.set_result(result)
