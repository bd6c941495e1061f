"""The one door to the models: loads them, and predicts by name for whoever asks."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import numpy as np
import torch
from loguru import logger
from PIL import Image

from project.errors import DeadlineExceeded, InvalidInput, ModelUnavailable, Overloaded
from project.inference.images import ImageLimits
from project.inference.lane import Lane, Prediction
from project.models._base import Model, Params
from project.observability import metrics
from project.observability.labels import CountedLabels
from project.settings import Settings

WARM_UP_SIZE = (256, 256)


class Runner:
    """Serves a set of models; use as an async context manager, which loads and frees them."""

    def __init__(self, models: Sequence[Model[Any, Any]], settings: Settings) -> None:
        self._settings = settings
        self._decoders = ThreadPoolExecutor(settings.decode_threads, thread_name_prefix="decode")
        self._labels = {
            model.name: CountedLabels(model.name, settings.prometheus_multiproc_dir)
            for model in models
        }
        self.lanes = {
            model.name: Lane(
                model,
                self._decoders,
                ImageLimits.of(settings),
                limit=settings.queue_limit,
                deadline=settings.prediction_deadline_seconds,
            )
            for model in models
        }

    async def __aenter__(self) -> Self:
        """Load every model, off the event loop; one that fails is logged and stays unavailable."""
        torch.set_num_threads(self._settings.inference_threads)
        metrics.declare(self.lanes)
        for lane in self.lanes.values():
            await asyncio.to_thread(_load, lane)
            lane.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop all lanes and their threads."""
        for lane in self.lanes.values():
            await lane.stop()
        self._decoders.shutdown(wait=True, cancel_futures=True)

    async def predict(self, name: str, data: bytes, params: Params) -> Prediction:
        """Predict with the model of that name, for the bytes of one image.

        Counts the outcome. Raises what Lane.predict raises.
        """
        lane = self.lanes[name]
        outcome = "error"
        try:
            prediction = await lane.predict(data, params)
            outcome = "ok"
        except InvalidInput:
            outcome = "invalid"
            raise
        except (Overloaded, ModelUnavailable):
            outcome = "overload"
            raise
        except DeadlineExceeded:
            outcome = "timeout"
            raise
        finally:
            metrics.INFERENCE_REQUESTS.labels(name, outcome).inc()
        self._count(lane.model, prediction)
        return prediction

    def _count(self, model: Model[Any, Any], prediction: Prediction) -> None:
        foremost = model.foremost(prediction.result)
        if foremost is None:
            return
        label, confidence = foremost
        counted = self._labels[model.name].count_as(label)
        metrics.INFERENCE_PREDICTIONS.labels(model.name, counted).inc()
        metrics.INFERENCE_CONFIDENCE.labels(model.name).observe(confidence)


def _warm_up(model: Model[Any, Any]) -> None:
    """Predict once for a blank image: the first caller then waits no longer than the rest."""
    params = model.params()
    image = Image.new("RGB", WARM_UP_SIZE)
    outputs = model.forward(model.preprocess(image, params)[np.newaxis])
    model.postprocess(outputs[0], image.size, params)


def _load(lane: Lane) -> None:
    """Load one model and say so in the log and the metrics, whichever way it goes."""
    model = lane.model
    started = time.perf_counter()
    metrics.MODEL_LOADED.labels(model.name).set(0)
    info = metrics.MODEL_INFO.labels(model.name, model.version, model.backend, model.weights)
    log = logger.bind(model=model.name, version=model.version, backend=model.backend)
    try:
        model.load()
        _warm_up(model)
    except Exception as error:  # noqa: BLE001 - a model's own code may raise anything
        lane.failure = str(error)
        metrics.MODEL_LOAD_FAILURES.labels(model.name).inc()
        log.opt(exception=error).error("model_load_failed")
        return
    seconds = time.perf_counter() - started
    lane.failure = None
    info.set(1)
    metrics.MODEL_LOADED.labels(model.name).set(1)
    metrics.MODEL_LOAD_SECONDS.labels(model.name).set(seconds)
    log.bind(seconds=round(seconds, 3)).info("model_loaded")
