"""Loads one model, says so in the log and the metrics, and tries again where it failed."""

import asyncio
import time
from collections.abc import Callable

from loguru import logger

from project.models.base import Declared
from project.observability import metrics

FIRST_RETRY_SECONDS = 5.0
LAST_RETRY_SECONDS = 60.0


def load(model: Declared, prepare: Callable[[], dict[str, object]]) -> str | None:
    """Load a model, and whatever `prepare` does after that, which gives fields for the log.

    Returns why it failed, or None where it did not.
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
    info = metrics.MODEL_INFO.labels(model.name, model.version, model.backend, model.weights)
    info.set(1)
    metrics.MODEL_LOADED.labels(model.name).set(1)
    metrics.MODEL_LOAD_SECONDS.labels(model.name).set(seconds)
    log.bind(backend=model.backend, seconds=round(seconds, 3), **fields).info("model_loaded")
    return None


async def load_until_there(
    attempt: Callable[[], str | None], retry_seconds: float = FIRST_RETRY_SECONDS
) -> None:
    """Try until it is loaded: what stands in its way may pass, a disk, a network.

    attempt: tries once, in a thread. retry_seconds: until the first; it doubles up to a minute.
    """
    delay = retry_seconds
    failure: str | None = "not tried yet"
    while failure:
        await asyncio.sleep(delay)
        failure = await asyncio.to_thread(attempt)
        delay = min(2 * delay, LAST_RETRY_SECONDS)
