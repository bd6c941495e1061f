"""The one way to the models: loads them, and predicts by name."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from loguru import logger
from pydantic import BaseModel

from project.errors import ClientDisconnected, DeadlineExceeded, Overloaded
from project.inference.admission import BRIEF_SECONDS, UPLOAD_SECONDS, Admission, Slot
from project.inference.backends.selection import accelerate
from project.inference.cache import ResultCache, make_cache
from project.inference.concurrency import LONG_SECONDS, ConcurrencyLimiter
from project.inference.drift.features import features_of
from project.inference.drift.monitor import DriftMonitor
from project.inference.executor import BatchExecutor
from project.inference.images.decoding import ImageLimits
from project.inference.loading import FIRST_RETRY_SECONDS, load, retry_until_loaded, warm_up
from project.inference.model_queue import ModelQueue, Prediction
from project.inference.pipeline import Pipeline
from project.models import create
from project.models.base import Model, Params
from project.observability import metrics
from project.observability.labels import CountedLabels
from project.resources import size
from project.settings import Settings

OUTCOME_OF_ERROR: dict[type[BaseException], str] = {
    Overloaded: "overload",
    DeadlineExceeded: "timeout",
    ClientDisconnected: "cancelled",
    asyncio.CancelledError: "cancelled",
}
CLIENT_ERRORS = range(400, 500)  # statuses of errors that are the request's own fault


@dataclass(frozen=True, kw_only=True)
class RunnerOptions:
    """How models are served; see the settings of these names.

    streams: threads for each model. guaranteed_streams: steps that this worker may run whatever
    its siblings do. batch: pictures in a forward pass; None: measured at load. labels_dir: what
    workers share to count labels. The rest are pauses and bounds, which tests shorten.
    """

    limits: ImageLimits
    backend: str
    backend_cache: Path
    labels_dir: Path | None
    threads: int
    streams: int
    guaranteed_streams: int
    batch: int | None
    queue_limit: int
    queue_seconds: float
    deadline_seconds: float
    brief_seconds: float = BRIEF_SECONDS
    upload_seconds: float = UPLOAD_SECONDS
    long_seconds: float = LONG_SECONDS
    retry_seconds: float = FIRST_RETRY_SECONDS

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The options that the settings name, sized for this machine."""
        sizing = size(settings)
        return cls(
            limits=ImageLimits.of(settings),
            backend=settings.inference_backend,
            backend_cache=settings.cache_dir / "backends",
            labels_dir=settings.prometheus_multiproc_dir,
            threads=settings.inference_threads,
            streams=sizing.streams,
            guaranteed_streams=max(1, sizing.streams // sizing.workers),
            batch=settings.inference_batch,
            queue_limit=settings.queue_limit,
            queue_seconds=settings.queue_seconds,
            deadline_seconds=settings.prediction_deadline_seconds,
        )


class Runner:
    """Serves a set of models; an async context manager, which loads and frees them."""

    def __init__(
        self,
        models: Sequence[Model[Any, Any]],
        options: RunnerOptions,
        *,
        drift: DriftMonitor,
        cache: ResultCache | None = None,
    ) -> None:
        self.drift = drift
        self.cache = cache
        self.limiter = ConcurrencyLimiter(
            options.streams, options.guaranteed_streams, long_seconds=options.long_seconds
        )
        self.queues = {model.name: self._queue(model, options) for model in models}
        self._options = options
        self._retries: list[asyncio.Task[None]] = []
        self._labels = {
            model.name: CountedLabels(model.name, options.labels_dir) for model in models
        }
        self._outcomes = {
            (model.name, outcome): metrics.INFERENCE_REQUESTS.labels(model.name, outcome)
            for model in models
            for outcome in metrics.OUTCOMES
        }

    @classmethod
    def of(cls, models: Sequence[Model[Any, Any]], settings: Settings) -> Self:
        """The runner that the settings name."""
        options, drift = RunnerOptions.of(settings), DriftMonitor.of(settings)
        return cls(models, options, drift=drift, cache=make_cache(settings))

    def _queue(self, model: Model[Any, Any], options: RunnerOptions) -> ModelQueue:
        executor = BatchExecutor(
            Pipeline(model, options.limits),
            options.streams,
            self.limiter,
            refresh_seconds=options.long_seconds,
        )
        admission = Admission(
            options.queue_limit,
            metrics.INFERENCE_QUEUE_DEPTH.labels(model.name).set,
            brief_seconds=options.brief_seconds,
            upload_seconds=options.upload_seconds,
        )
        return ModelQueue(
            model,
            executor,
            admission,
            max_wait_seconds=options.queue_seconds,
            deadline_seconds=options.deadline_seconds,
        )

    async def __aenter__(self) -> Self:
        """Load every model, off the event loop; one that fails is tried again in the background."""
        torch.set_num_threads(self._options.threads)
        metrics.declare(self.queues)
        for queue in self.queues.values():
            self.drift.start_counting(queue.model.name, queue.model.version)
            await asyncio.to_thread(self._load, queue)
            queue.start()
            if queue.failure:
                again = retry_until_loaded(partial(self._load, queue), self._options.retry_seconds)
                self._retries.append(asyncio.create_task(again))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop all queues; a thread that hangs in a model is left to the end of the process."""
        for task in self._retries:
            task.cancel()
        for queue in self.queues.values():
            await queue.stop()
        if self.cache:
            await self.cache.store.close()

    def stuck(self) -> list[str]:
        """Names of the models whose forward pass hangs."""
        return [name for name, queue in self.queues.items() if queue.is_stuck()]

    def admit(self, name: str) -> "AdmittedPrediction":
        """Admit one prediction before its body is read.

        A context manager for the time from the head of a request to its answer; entering it raises
        ModelUnavailable or Overloaded.
        """
        return AdmittedPrediction(self, self.queues[name])

    async def predict(self, name: str, data: bytes, params: Params) -> Prediction:
        """Admit and predict; raises what `admit` and AdmittedPrediction.predict raise."""
        with self.admit(name) as slot:
            return await slot.predict(data, params)

    async def run(self, queue: ModelQueue, data: bytes, params: Params) -> Prediction:
        """Predict, or find the result in the cache, and count it; for admitted predictions."""
        prediction = await self._run_cached(queue, data, params)
        self._count_result(queue.model, prediction)
        return prediction

    async def _run_cached(self, queue: ModelQueue, data: bytes, params: Params) -> Prediction:
        """Find the result in the cache, or predict and store it; an error is never stored."""
        if self.cache is None:
            return await queue.run(data, params)
        requested_ns = time.time_ns()
        key = await asyncio.to_thread(self.cache.key, queue.model, params, data)
        result = await self.cache.find(queue.model, key)
        if result is not None:
            return Prediction(result, {}, cached=True)
        prediction = await queue.run(data, params)
        await self.cache.put(key, prediction.result, requested_ns)
        return replace(prediction, cached=False)

    def count_outcome(self, name: str, error: BaseException | None) -> None:
        """Count how a prediction ended; for admitted predictions. error: None for success."""
        outcome = "ok" if error is None else outcome_of(error)
        self._outcomes[name, outcome].inc()

    def _count_result(self, model: Model[Any, Any], prediction: Prediction) -> None:
        """Count the features of the picture, and the label and confidence of the result."""
        top_prediction = top_prediction_of(model, prediction.result)
        if prediction.image_features:
            self.drift.count(model.name, features_of(prediction.image_features, top_prediction))
        if top_prediction is None:
            return
        label, confidence = top_prediction
        counted = self._labels[model.name].count_as(label)
        metrics.INFERENCE_PREDICTIONS.labels(model.name, counted).inc()
        metrics.INFERENCE_CONFIDENCE.labels(model.name).observe(confidence)

    def _load(self, queue: ModelQueue) -> str | None:
        """Load one model and make it fast; returns the reason where that failed."""
        model, options = queue.model, self._options

        def prepare() -> dict[str, object]:
            cache = options.backend_cache
            accelerate(model, options.backend, streams=options.streams, cache=cache)
            batch = warm_up(model, options.batch)
            queue.limit_batches(batch)
            return {"streams": options.streams, "batch": batch}

        queue.failure = load(model, prepare)
        return queue.failure


class AdmittedPrediction:
    """One prediction from its admission to its answer; counts how it ends."""

    __slots__ = ("_queue", "_runner", "_slot")

    _slot: Slot

    def __init__(self, runner: Runner, queue: ModelQueue) -> None:
        self._runner = runner
        self._queue = queue

    def __enter__(self) -> Self:
        try:
            self._slot = self._queue.acquire()
        except Exception as error:
            self._runner.count_outcome(self._queue.model.name, error)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._slot.release()
        self._runner.count_outcome(self._queue.model.name, error)

    @property
    def held(self) -> bool:
        """Whether its slot was not given back by a slow upload."""
        return self._slot.held

    async def predict(self, data: bytes, params: Params) -> Prediction:
        """Predict for the bytes of one image.

        Raises Overloaded where a slow upload gave its slot back and no other one is free,
        DeadlineExceeded, InvalidImage and other InvalidInput, or ModelFailed.
        """
        self._queue.confirm(self._slot)
        return await self._runner.run(self._queue, data, params)


def outcome_of(error: BaseException) -> str:
    """The outcome that an error is counted as."""
    status = getattr(error, "status", getattr(error, "status_code", None))  # ours, or Starlette's
    other = "invalid" if status in CLIENT_ERRORS else "error"
    kinds = (name for kind, name in OUTCOME_OF_ERROR.items() if isinstance(error, kind))
    return next(kinds, other)


def top_prediction_of(model: Model[Any, Any], result: BaseModel) -> tuple[str, float] | None:
    """The label and confidence to count; a bug in the model costs the count, not the result."""
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


async def load_all(settings: Settings) -> list[str]:
    """Load every model of MODELS once, so that what is converted for it is in CACHE_DIR.

    Returns the names of those that failed, which are logged. Raises ConfigurationError where a name
    has no file.
    """
    models = create(settings.models, settings.weights_by_model)
    quick = [model for model in models if isinstance(model, Model)]
    failed = [model.name for model in models if model not in quick and load(model, dict)]
    async with Runner.of(quick, settings) as runner:
        return failed + [name for name, queue in runner.queues.items() if queue.failure]
