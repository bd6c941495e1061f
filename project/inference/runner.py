"""The one door to the models: loads them, and predicts by name for whoever asks."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from loguru import logger
from PIL import Image
from pydantic import BaseModel

from project.errors import (
    CallerGone,
    ContentTooLarge,
    DeadlineExceeded,
    InvalidInput,
    Overloaded,
    UnsupportedMediaType,
)
from project.inference.admission import Slot
from project.inference.backends.selection import accelerate
from project.inference.batch_size import fastest_batch
from project.inference.cache import make_cache
from project.inference.concurrency import ConcurrencyLimiter
from project.inference.drift.features import features_of
from project.inference.drift.monitor import DriftMonitor
from project.inference.images.decoding import ImageLimits
from project.inference.loading import FIRST_RETRY_SECONDS, load, load_until_there
from project.inference.model_queue import ModelQueue, Prediction
from project.models.base import Array, Model, Params
from project.observability import metrics
from project.observability.labels import CountedLabels
from project.resources import size
from project.settings import Settings

WARM_UP_SIZE = (256, 256)
OUTCOMES: dict[type[Exception], str] = {
    InvalidInput: "invalid",
    ContentTooLarge: "invalid",
    UnsupportedMediaType: "invalid",
    Overloaded: "overload",
    DeadlineExceeded: "timeout",
    CallerGone: "cancelled",
}


class Runner:
    """Serves a set of models; use as an async context manager, which loads and frees them.

    retry_seconds: until a failed load is first tried again; it doubles up to a minute.
    """

    def __init__(
        self,
        models: Sequence[Model[Any, Any]],
        settings: Settings,
        *,
        retry_seconds: float = FIRST_RETRY_SECONDS,
    ) -> None:
        self._retry_seconds = retry_seconds
        self._settings = settings
        sizing = size(settings)
        self._streams = sizing.streams
        self.turns = ConcurrencyLimiter(sizing.streams, max(1, sizing.streams // sizing.workers))
        self.cache = make_cache(settings)
        self.drift = DriftMonitor.of(settings)
        self._retries: list[asyncio.Task[None]] = []
        self._labels = {
            model.name: CountedLabels(model.name, settings.prometheus_multiproc_dir)
            for model in models
        }
        self.queues = {
            model.name: ModelQueue(
                model,
                ImageLimits.of(settings),
                limit=settings.queue_limit,
                patience=settings.queue_seconds,
                deadline=settings.prediction_deadline_seconds,
                streams=self._streams,
                turns=self.turns,
            )
            for model in models
        }

    async def __aenter__(self) -> Self:
        """Load every model, off the event loop; one that fails is tried again in the background."""
        torch.set_num_threads(self._settings.inference_threads)
        metrics.declare(self.queues)
        for queue in self.queues.values():
            self.drift.begin(queue.model.name, queue.model.version)
            await asyncio.to_thread(self._load, queue)
            queue.start()
            if queue.failure:
                again = load_until_there(partial(self._load, queue), self._retry_seconds)
                self._retries.append(asyncio.create_task(again))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop all lanes; a thread that hangs in a model is left to the end of the process."""
        for task in self._retries:
            task.cancel()
        for queue in self.queues.values():
            await queue.stop()
        if self.cache:
            await self.cache.store.close()

    def stuck(self) -> list[str]:
        """Names of the models whose forward pass hangs."""
        return [name for name, queue in self.queues.items() if queue.is_stuck()]

    @contextmanager
    def admit(self, name: str) -> Iterator[Slot]:
        """Hold a place for a prediction, and count how what is done with it ends."""
        outcome = "error"
        try:
            with self.queues[name].admit() as place:
                yield place
            outcome = "ok"
        except Exception as error:
            outcome = next(
                (word for kind, word in OUTCOMES.items() if isinstance(error, kind)), "error"
            )
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            metrics.INFERENCE_REQUESTS.labels(name, outcome).inc()

    async def run(self, name: str, place: Slot, data: bytes, params: Params) -> Prediction:
        """Predict for the bytes of one image; raises what Lane.keep and Lane.run raise."""
        queue = self.queues[name]
        queue.keep(place)
        prediction = await self._cached(queue, data, params)
        self._count(queue.model, prediction)
        return prediction

    async def _cached(self, queue: ModelQueue, data: bytes, params: Params) -> Prediction:
        """Take the result from the cache, or predict and keep it; an error is never kept."""
        if self.cache is None:
            return await queue.run(data, params)
        asked = time.time_ns()
        key = await asyncio.to_thread(self.cache.key, queue.model, params, data)
        result = await self.cache.find(queue.model, key)
        if result is not None:
            return Prediction(result, {}, cached=True)
        prediction = await queue.run(data, params)
        await self.cache.keep(key, prediction.result, asked)
        return replace(prediction, cached=False)

    async def predict(self, name: str, data: bytes, params: Params) -> Prediction:
        """Take a place and predict; raises what Lane.admit and Lane.run raise."""
        with self.admit(name) as place:
            return await self.run(name, place, data, params)

    def _count(self, model: Model[Any, Any], prediction: Prediction) -> None:
        """Count how the picture looked, its label and confidence."""
        top_prediction = top_prediction_of(model, prediction.result)
        if prediction.look:
            self.drift.count(model.name, features_of(prediction.look, top_prediction))
        if top_prediction is None:
            return
        label, confidence = top_prediction
        counted = self._labels[model.name].count_as(label)
        metrics.INFERENCE_PREDICTIONS.labels(model.name, counted).inc()
        metrics.INFERENCE_CONFIDENCE.labels(model.name).observe(confidence)

    def _load(self, queue: ModelQueue) -> str | None:
        """Load one model and make it fast; returns why that failed, where it did."""
        model, settings = queue.model, self._settings

        def prepare() -> dict[str, object]:
            cache = settings.cache_dir / "backends"
            accelerate(model, settings.inference_backend, streams=self._streams, cache=cache)
            queue.limit_batches(batch := self._batch(model))
            return {"streams": self._streams, "batch": batch}

        queue.failure = load(model, prepare)
        return queue.failure

    def _batch(self, model: Model[Any, Any]) -> int:
        """The largest batch for a model, and the model warm."""
        wanted = self._settings.inference_batch
        sample = _warm_up(model)
        if wanted is None and sample is not None:
            return fastest_batch(model, sample)
        return min(wanted or model.max_batch, model.max_batch)


def top_prediction_of(model: Model[Any, Any], result: BaseModel) -> tuple[str, float] | None:
    """What a model says is to be counted; a bug in it costs the count, not the result."""
    try:
        top_prediction = model.top_prediction(result)
        if top_prediction is None:
            return None
        label, confidence = str(top_prediction[0]), float(top_prediction[1])
    except Exception as error:  # noqa: BLE001 - a model's own code may raise anything
        logger.opt(exception=error).bind(model=model.name).error("prediction_not_counted")
        return None
    if not 0 <= confidence <= 1:  # one NaN would spoil the sum for as long as it is kept
        logger.bind(model=model.name, confidence=confidence).error("confidence_not_counted")
        return None
    return label, confidence


def _warm_up(model: Model[Any, Any]) -> Array | None:
    """Predict once for a blank image: the first caller then waits no longer than the rest.

    A model may refuse a blank image; any other error is one that callers would meet. Returns what
    the net was given, or None where it was given nothing.
    """
    params = model.params()
    image = Image.new("RGB", WARM_UP_SIZE)
    sample = None
    with suppress(InvalidInput):
        prepared = model.preprocess(image, params)
        outputs = model.forward(prepared[np.newaxis])
        sample = prepared
        model.postprocess(outputs[0], image.size, params)
    return sample
