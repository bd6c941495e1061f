"""One model's lane: its bounded queue, its batches, and the threads that serve it.

A prediction is decoded and preprocessed in a small pool, waits for the forward pass, goes through
it together with whatever else waits at that moment (no timer), and is postprocessed. Nothing of
that runs on the event loop.
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import BaseModel

from project.errors import DeadlineExceeded, InvalidInput, ModelFailed, ModelUnavailable, Overloaded
from project.inference.images import ImageLimits, decode
from project.models._base import Array, Model, Params
from project.observability import metrics

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

    def start(self) -> None:
        """Begin to take batches from the queue."""
        metrics.INFERENCE_QUEUE_LIMIT.labels(self.model.name).set(self._limit)
        self._server = asyncio.create_task(self._serve(), name=f"lane-{self.model.name}")

    async def stop(self) -> None:
        """End the batches; whatever still waits is cancelled with its request."""
        if self._server:
            self._server.cancel()
            await asyncio.wait([self._server])
        self._forwarder.shutdown(wait=True, cancel_futures=True)

    async def predict(self, data: bytes, params: Params) -> Prediction:
        """Predict for the bytes of one image.

        Raises ModelUnavailable, Overloaded, DeadlineExceeded, InvalidImage and other InvalidInput,
        or ModelFailed.
        """
        if self.failure:
            raise ModelUnavailable(
                f"model {self.model.name} is not loaded; see /ready", retry_after=5
            )
        if self._admitted >= self._limit:
            raise Overloaded(
                f"{self._limit} predictions of {self.model.name} are waiting; "
                "come back after Retry-After seconds",
                retry_after=max(1, math.ceil(self._mean_seconds * self._admitted)),
            )
        depth = metrics.INFERENCE_QUEUE_DEPTH.labels(self.model.name)
        self._admitted += 1
        depth.set(self._admitted)
        try:
            async with asyncio.timeout(self._deadline):
                return await self._run(data, params)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"the prediction took longer than {self._deadline:g} s; "
                "send a smaller image or come back later"
            ) from error
        finally:
            self._admitted -= 1
            depth.set(self._admitted)

    async def _run(self, data: bytes, params: Params) -> Prediction:
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        item: _Item = await loop.run_in_executor(
            self._decoders, self._prepare, data, params, loop.create_future()
        )
        self._waiting.put_nowait(item)
        result = await item.future
        total = time.perf_counter() - began
        item.seconds = {"queue": max(0.0, total - sum(item.seconds.values())), **item.seconds}
        for stage, seconds in item.seconds.items():
            metrics.INFERENCE_STAGE.labels(self.model.name, stage).observe(seconds)
        return Prediction(result, item.seconds)

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
            results = await loop.run_in_executor(self._forwarder, self._forward, batch)
            for item, result in zip(batch, results, strict=True):
                if item.future.done():
                    continue
                if isinstance(result, Exception):
                    item.future.set_exception(result)
                else:
                    item.future.set_result(result)

    def _forward(self, batch: list[_Item]) -> list[BaseModel | ModelFailed]:
        """Run the net once for all, or once for each where that fails: one bad input, one error."""
        metrics.INFERENCE_BATCH.labels(self.model.name).observe(len(batch))
        started = time.perf_counter()
        try:
            outputs = self._guarded(self._run_net, [item.array for item in batch])
        except ModelFailed as error:
            if len(batch) == 1:
                return [error]
            return [result for item in batch for result in self._forward([item])]
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

    def _finish(self, item: _Item, output: Any, forward: float) -> BaseModel | ModelFailed:
        started = time.perf_counter()
        item.seconds["forward"] = forward
        try:
            result: BaseModel = self._guarded(
                self.model.postprocess, output, item.size, item.params
            )
        except ModelFailed as error:
            return error
        item.seconds["postprocess"] = time.perf_counter() - started
        return result

    def _guarded(self, step: Callable[..., Any], *values: Any) -> Any:
        """Call the model; what it raises that is not ours becomes ModelFailed."""
        try:
            return step(*values)
        except InvalidInput:
            raise
        except Exception as error:
            raise ModelFailed(
                f"model {self.model.name} failed on this input; its operators have been told"
            ) from error
