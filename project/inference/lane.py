"""One model's lane: its bounded queue, its batches, and the threads that serve it.

A prediction is decoded and preprocessed in a small pool, waits for the forward pass, goes through
it together with whatever else waits at that moment (no timer), and is postprocessed. Nothing of
that runs on the event loop.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from loguru import logger
from pydantic import BaseModel

from project.errors import (
    DeadlineExceeded,
    InvalidInput,
    ModelFailed,
    ModelUnavailable,
    Overloaded,
    ProjectError,
)
from project.inference.images import ImageLimits, decode
from project.models._base import Array, Model, Params
from project.observability import metrics

STUCK_DEADLINES = 3  # a forward pass that runs for so many deadlines counts as hung
SMOOTHING = 0.1  # weight of the newest prediction in the running mean that Retry-After is made from


@dataclass(frozen=True, slots=True)
class Prediction:
    """A result, and how many seconds each stage of it took."""

    result: BaseModel
    seconds: dict[str, float]


@dataclass(slots=True)
class _Item:
    """One prediction on its way through the lane."""

    array: Array
    size: tuple[int, int]
    params: Params
    future: asyncio.Future[BaseModel]
    seconds: dict[str, float] = field(default_factory=dict)


class Lane:
    """Serves one model. limit: predictions admitted at a time; deadline: seconds for each."""

    def __init__(
        self,
        model: Model[Any, Any],
        decoders: ThreadPoolExecutor,
        limits: ImageLimits,
        *,
        limit: int,
        deadline: float,
    ) -> None:
        self.model = model
        self.failure: str | None = "not loaded yet"
        self._decoders = decoders
        self._forwarder = ThreadPoolExecutor(1, thread_name_prefix=f"forward-{model.name}")
        self._limits = limits
        self._limit = limit
        self._deadline = deadline
        self._admitted = 0
        self._mean_seconds = 0.0
        self._waiting: asyncio.Queue[_Item] = asyncio.Queue()
        self._server: asyncio.Task[None] | None = None
        self._busy_since: float | None = None  # when the forward pass that runs now began

    def start(self) -> None:
        """Begin to take batches from the queue."""
        metrics.INFERENCE_QUEUE_LIMIT.labels(self.model.name).set(self._limit)
        self._server = asyncio.create_task(self._serve(), name=f"lane-{self.model.name}")

    async def stop(self) -> None:
        """End the batches; whatever still waits is cancelled with its request.

        A forward pass that hangs is not waited for: the process is about to end.
        """
        if self._server:
            self._server.cancel()
            await asyncio.wait([self._server])
        self._forwarder.shutdown(wait=False, cancel_futures=True)

    def is_stuck(self) -> bool:
        """Whether a forward pass runs for so long that it will hardly end; nothing can stop it."""
        since = self._busy_since
        return since is not None and time.monotonic() - since > STUCK_DEADLINES * self._deadline

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
        item: _Item = await loop.run_in_executor(
            self._decoders, self._prepare, data, params, loop.create_future()
        )
        self._waiting.put_nowait(item)
        try:
            result = await item.future
        finally:  # who gave up has waited too: in a jam that is all there is to see
            total = time.perf_counter() - began
            seconds = {"queue": max(0.0, total - sum(item.seconds.values())), **item.seconds}
            for stage, value in seconds.items():
                metrics.INFERENCE_STAGE.labels(self.model.name, stage).observe(value)
        return Prediction(result, seconds)

    def _prepare(self, data: bytes, params: Params, future: asyncio.Future[BaseModel]) -> _Item:
        """Decode and preprocess; runs in the pool."""
        started = time.perf_counter()
        image = decode(data, self._limits)
        decoded = time.perf_counter()
        metrics.INFERENCE_PIXELS.labels(self.model.name).observe(image.width * image.height)
        array = self._guarded(self.model.preprocess, image, params)
        item = _Item(array, image.size, params, future)
        item.seconds["decode"] = decoded - started
        item.seconds["preprocess"] = time.perf_counter() - decoded
        return item

    async def _serve(self) -> None:
        """Form batches from what already waits, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < self.model.max_batch and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            batch = [item for item in batch if not item.future.done()]  # their callers have left
            if not batch:
                continue
            self._busy_since = time.monotonic()
            try:
                results = await loop.run_in_executor(self._forwarder, self._forward, batch)
            except Exception as error:  # noqa: BLE001 - a bug of ours: these fail, the lane goes on
                logger.opt(exception=error).bind(model=self.model.name).error("batch_lost")
                results = [self._failed() for _ in batch]
            self._busy_since = None
            for item, result in zip(batch, results, strict=True):
                if item.future.done():
                    continue
                if isinstance(result, Exception):
                    item.future.set_exception(result)
                else:
                    item.future.set_result(result)

    def _forward(self, batch: list[_Item]) -> list[BaseModel | ProjectError]:
        """Run the net once for all, or once for each where that fails: one bad input, one error."""
        name = self.model.name
        started = time.perf_counter()
        try:
            outputs = self._guarded(self._run_net, [item.array for item in batch])
        except (ModelFailed, InvalidInput) as error:
            if len(batch) == 1:
                return [error]
            metrics.INFERENCE_BATCH_FAILURES.labels(name).inc()
            log = logger.opt(exception=error.__cause__).bind(model=name, size=len(batch))
            log.warning("batch_failed_and_is_run_one_by_one")
            return [result for item in batch for result in self._forward([item])]
        metrics.INFERENCE_BATCH.labels(name).observe(len(batch))
        seconds = time.perf_counter() - started
        self._mean_seconds += SMOOTHING * (seconds / len(batch) - self._mean_seconds)
        return [
            self._finish(item, output, seconds) for item, output in zip(batch, outputs, strict=True)
        ]

    def _run_net(self, arrays: list[Array]) -> Sequence[Any]:
        outputs = self.model.forward(np.stack(arrays))
        if len(outputs) != len(arrays):
            raise ValueError(f"forward gave {len(outputs)} outputs for {len(arrays)} inputs")
        return outputs

    def _finish(self, item: _Item, output: Any, forward: float) -> BaseModel | ProjectError:
        started = time.perf_counter()
        item.seconds["forward"] = forward
        try:
            result: BaseModel = self._guarded(self._make_result, item, output)
        except (ModelFailed, InvalidInput) as error:
            return error
        item.seconds["postprocess"] = time.perf_counter() - started
        return result

    def _make_result(self, item: _Item, output: Any) -> BaseModel:
        result = self.model.postprocess(output, item.size, item.params)
        if not isinstance(result, self.model.result):
            raise TypeError(f"postprocess gave a {type(result).__name__}")
        return result

    def _guarded(self, step: Callable[..., Any], *values: Any) -> Any:
        """Call the model; what it raises that is not ours becomes ModelFailed."""
        try:
            return step(*values)
        except InvalidInput:
            raise
        except Exception as error:
            raise self._failed(error) from error

    def _failed(self, cause: Exception | None = None) -> ModelFailed:
        detail = "failed on this input; its operators find why in the log"
        failed = ModelFailed(f"model {self.model.name} {detail}")
        failed.__cause__ = cause
        return failed
