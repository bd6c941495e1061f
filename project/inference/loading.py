"""Loads one model, logs and counts it, warms it up, and tries again where loading failed."""

import asyncio
import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

import numpy as np
from loguru import logger

from project.errors import InvalidInput
from project.inference.batch_size import fastest_batch
from project.inference.samples import sample_inputs, sample_params
from project.models.base import AnyModel, Array, BatchModel, StepModel
from project.observability import metrics

FIRST_RETRY_SECONDS = 5.0
MAX_RETRY_SECONDS = 60.0
WARM_UP_SECONDS = 1.0  # of steps; those that take longer are not all run


def load(model: AnyModel, prepare: Callable[[], dict[str, object]]) -> str | None:
    """Load a model, then call `prepare`, which returns fields for the log.

    Returns the reason where either failed, or None.
    """
    started = time.perf_counter()
    metrics.MODEL_LOADED.labels(model.name).set(0)
    log = logger.bind(model=model.name, version=model.version)
    try:
        model.load()
        fields = prepare()
    except Exception as error:  # noqa: BLE001 - a model's own code may raise anything
        metrics.MODEL_LOAD_FAILURES.labels(model.name).inc()
        log.opt(exception=error).error("model_load_failed")
        return str(error) or type(error).__name__
    seconds = time.perf_counter() - started
    info = metrics.MODEL_INFO.labels(model.name, model.version, model.backend, model.weights.name)
    info.set(1)
    metrics.MODEL_LOADED.labels(model.name).set(1)
    metrics.MODEL_LOAD_SECONDS.labels(model.name).set(seconds)
    log.bind(backend=model.backend, seconds=round(seconds, 3), **fields).info("model_loaded")
    return None


async def retry_until_loaded(
    attempt: Callable[[], str | None], retry_seconds: float = FIRST_RETRY_SECONDS
) -> None:
    """Try again until a model is loaded: a disk or a network may be away for a while.

    attempt: tries once, in a thread; returns the reason where it failed. retry_seconds: pause
    before the first attempt; it doubles up to MAX_RETRY_SECONDS.
    """
    delay = retry_seconds
    failure: str | None = "not tried yet"
    while failure:
        await asyncio.sleep(delay)
        failure = await asyncio.to_thread(attempt)
        delay = min(2 * delay, MAX_RETRY_SECONDS)


def warm_up(model: BatchModel[Any, Any, Any], batch: int | None) -> int:
    """Warm a loaded model up; returns the batch size to serve it with.

    batch: the largest that is wanted; None for the fastest, which is measured.
    """
    sample = _predict_sample(model)
    if batch is None and sample is not None:
        return fastest_batch(model, sample)
    return min(batch or model.max_batch, model.max_batch)


def _predict_sample(model: BatchModel[Any, Any, Any]) -> Array | None:
    """Predict for a sample, so that the first request waits no longer than the rest.

    A model may reject it; any other error is one that requests would meet. Returns the preprocessed
    sample, or None where `preprocess` or `forward` rejected it.
    """
    params, inputs = sample_params(model), sample_inputs(model)[0]
    sample = None
    with suppress(InvalidInput):
        preprocessed = model.preprocess(inputs, params)
        outputs = model.forward(preprocessed[np.newaxis])
        sample = preprocessed
        model.postprocess(outputs[0], inputs, params)
    return sample


def warm_up_steps(model: StepModel[Any, Any, Any]) -> None:
    """Run the steps for a sample, WARM_UP_SECONDS of them; as with _predict_sample."""
    end = time.perf_counter() + WARM_UP_SECONDS
    with (
        suppress(InvalidInput),
        closing(model.steps(sample_inputs(model)[0], sample_params(model))) as steps,
    ):
        for _ in steps:
            if time.perf_counter() > end:
                break
