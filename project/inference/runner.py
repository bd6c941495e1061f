"""The one way to the models: loads them, and predicts by name."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from loguru import logger
from PIL import Image

from project.errors import ClientDisconnected, DeadlineExceeded, Overloaded
from project.inference.admission import BRIEF_SECONDS, UPLOAD_SECONDS, Admission, Slot
from project.inference.backends.selection import limit_torch_threads, prepare_net
from project.inference.cache import ResultCache, make_cache
from project.inference.concurrency import LONG_SECONDS, ConcurrencyLimiter
from project.inference.drift.features import features_of
from project.inference.drift.monitor import DriftMonitor
from project.inference.encoding import Encoding, usual_encoding
from project.inference.executor import ModelExecutor, Report
from project.inference.frames import FrameClaim
from project.inference.images.decoding import ImageLimits
from project.inference.loading import (
    FIRST_RETRY_SECONDS,
    load,
    retry_until_loaded,
    warm_up,
    warm_up_steps,
)
from project.inference.model_queue import ModelQueue, Prediction
from project.inference.pipeline import Pipeline, Raw
from project.models import create
from project.models.base import AnyModel, BatchModel, Params, StepModel, TopPrediction
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
WAIT_SHARE = 0.5  # of slo_seconds: a slow model may have its requests wait for longer
CLIENT_ERRORS = range(400, 500)  # statuses of errors that are the request's own fault


@dataclass(frozen=True, kw_only=True)
class RunnerOptions:
    """How models are served; see the settings of these names.

    streams: threads for each model. guaranteed_streams: steps that this worker may run whatever
    its siblings do. batch: inputs in a forward pass; None: measured at load. labels_dir: what
    workers share to count labels. deadline_seconds: None where the caller has a limit of its own.
    warm_up_steps: run the steps of a sample at load. The rest are pauses and bounds, which tests
    shorten.
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
    deadline_seconds: float | None
    brief_seconds: float = BRIEF_SECONDS
    upload_seconds: float = UPLOAD_SECONDS
    long_seconds: float = LONG_SECONDS
    retry_seconds: float = FIRST_RETRY_SECONDS
    warm_up_steps: bool = True

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
        models: Sequence[AnyModel],
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
    def of(cls, models: Sequence[AnyModel], settings: Settings) -> Self:
        """The runner that the settings name."""
        options, drift = RunnerOptions.of(settings), DriftMonitor.of(settings)
        return cls(models, options, drift=drift, cache=make_cache(settings))

    def _queue(self, model: AnyModel, options: RunnerOptions) -> ModelQueue:
        threads = options.streams
        if isinstance(model, StepModel):  # else its long steps would delay every short one
            threads = max(1, threads // 2)
        executor = ModelExecutor(
            Pipeline(model, options.limits),
            threads,
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
            max_wait_seconds=max(options.queue_seconds, WAIT_SHARE * model.slo_seconds),
            deadline_seconds=options.deadline_seconds,
        )

    async def __aenter__(self) -> Self:
        """Load every model, off the event loop; one that fails is tried again in the background."""
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

    def admit(self, name: str, *, batch: bool = False) -> "AdmittedPrediction":
        """Admit one prediction before its body is read.

        A context manager for the time from the head of a request to its answer; entering it raises
        ModelUnavailable or Overloaded. batch: whether it is of the class that is shed first.
        """
        return AdmittedPrediction(self, self.queues[name], batch=batch)

    async def predict(self, name: str, raw: Raw, params: Params) -> Prediction:
        """Admit and predict; raises what `admit` and AdmittedPrediction.predict raise."""
        with self.admit(name) as slot:
            return await slot.predict(raw, params)

    async def predict_newest(self, name: str, claim: FrameClaim, encoding: Encoding) -> Prediction:
        """Predict for the newest frame of a stream, past the result cache, and count it.

        Raises what ModelQueue.run_newest raises.
        """
        queue = self.queues[name]
        try:
            prediction = await queue.run_newest(claim, encoding)
        except BaseException as error:
            self.count_outcome(name, error)
            raise
        self.count_outcome(name, None)
        self._count_result(queue.model, prediction)
        return prediction

    async def run(
        self,
        queue: ModelQueue,
        raw: Raw,
        params: Params,
        encoding: Encoding,
        report: Report | None,
    ) -> Prediction:
        """Predict, or find the result in the cache, and count it; for admitted predictions."""
        if self.cache is None or issubclass(queue.model.result, Image.Image):
            prediction = await queue.run(raw, params, encoding, report)
        else:
            prediction = await self._run_cached(self.cache, queue, raw, params, encoding, report)
        self._count_result(queue.model, prediction)
        return prediction

    async def _run_cached(
        self,
        cache: ResultCache,
        queue: ModelQueue,
        raw: Raw,
        params: Params,
        encoding: Encoding,
        report: Report | None,
    ) -> Prediction:
        """Find the result in the cache, or predict and store it; an error is never stored."""
        requested_ns = time.time_ns()
        key = await asyncio.to_thread(cache.key, queue.model, params, raw)
        result = await cache.find(queue.model, key)
        if result is not None:
            body = await queue.encode(result, raw, encoding)
            return Prediction(result, body, encoding.media_type, {}, cached=True)
        prediction = await queue.run(raw, params, encoding, report)
        await cache.put(key, prediction.result, requested_ns)
        return replace(prediction, cached=False)

    def count_outcome(self, name: str, error: BaseException | None) -> None:
        """Count how a prediction ended; for admitted predictions. error: None for success."""
        outcome = "ok" if error is None else outcome_of(error)
        self._outcomes[name, outcome].inc()

    def _count_result(self, model: AnyModel, prediction: Prediction) -> None:
        """Count the features of the inputs, and the label and confidence of the result."""
        top_prediction = top_prediction_of(model, prediction.result)
        if prediction.features:
            self.drift.count(model.name, features_of(prediction.features, top_prediction))
        if top_prediction is None:
            return
        label, confidence = top_prediction
        counted = self._labels[model.name].count_as(label)
        metrics.INFERENCE_PREDICTIONS.labels(model.name, counted).inc()
        if confidence is not None:
            metrics.INFERENCE_CONFIDENCE.labels(model.name).observe(confidence)

    def _load(self, queue: ModelQueue) -> str | None:
        """Load one model and make it fast; returns the reason where that failed."""
        model, options = queue.model, self._options

        def prepare() -> dict[str, object]:
            limit_torch_threads(options.threads)
            if isinstance(model, BatchModel):
                cache = options.backend_cache
                net = prepare_net(model, options.backend, streams=options.streams, cache=cache)
                limit_torch_threads(options.threads)
                batch = warm_up(model, options.batch)
                queue.limit_batches(batch)
                return {"streams": options.streams, "batch": batch, "net": net}
            if isinstance(model, StepModel) and options.warm_up_steps and not model.background:
                warm_up_steps(model)
            return {"streams": options.streams}

        queue.failure = load(model, prepare)
        return queue.failure


class AdmittedPrediction:
    """One prediction from its admission to its answer; counts how it ends."""

    __slots__ = ("_batch", "_queue", "_runner", "_slot")

    _slot: Slot

    def __init__(self, runner: Runner, queue: ModelQueue, *, batch: bool) -> None:
        self._runner = runner
        self._queue = queue
        self._batch = batch

    def __enter__(self) -> Self:
        try:
            self._slot = self._queue.acquire(batch=self._batch)
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

    async def predict(
        self,
        raw: Raw,
        params: Params,
        encoding: Encoding | None = None,
        report: Report | None = None,
    ) -> Prediction:
        """Predict for the inputs.

        encoding: of the result; None for the model's usual one. report: takes the share done
        between the steps of a model of steps, in its thread; what it raises ends the prediction.
        Raises Overloaded where a slow upload gave its slot back and no other one is free,
        DeadlineExceeded, InvalidImage and other InvalidInput, or ModelFailed.
        """
        self._queue.confirm(self._slot, batch=self._batch)
        encoding = encoding or usual_encoding(self._queue.model)
        return await self._runner.run(self._queue, raw, params, encoding, report)


def outcome_of(error: BaseException) -> str:
    """The outcome that an error is counted as."""
    status = getattr(error, "status", getattr(error, "status_code", None))  # ours, or Starlette's
    other = "invalid" if status in CLIENT_ERRORS else "error"
    kinds = (name for kind, name in OUTCOME_OF_ERROR.items() if isinstance(error, kind))
    return next(kinds, other)


def top_prediction_of(model: AnyModel, result: Any) -> TopPrediction | None:
    """The label and confidence to count; a bug in the model costs the count, not the result."""
    try:
        top_prediction = model.top_prediction(result)
        if top_prediction is None:
            return None
        label, confidence = str(top_prediction[0]), top_prediction[1]
        confidence = None if confidence is None else float(confidence)
    except Exception as error:  # noqa: BLE001 - a model's own code may raise anything
        logger.opt(exception=error).bind(model=model.name).error("prediction_not_counted")
        return None
    if (
        confidence is not None and not 0 <= confidence <= 1
    ):  # one NaN would spoil the sum for as long as it is kept
        logger.bind(model=model.name, confidence=confidence).error("confidence_not_counted")
        return None
    return label, confidence


async def load_all(settings: Settings) -> list[str]:
    """Load every model of MODELS once, so that what is converted for it is in CACHE_DIR.

    Returns the names of those that failed, which are logged. Raises ConfigurationError where a name
    has no file.
    """
    models = create(settings.models, settings.weights_by_model)
    async with Runner.of(models, settings) as runner:
        return [name for name, queue in runner.queues.items() if queue.failure]
