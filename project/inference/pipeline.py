"""The stages of a prediction that run in threads: decode, preprocess, forward, postprocess.

Each stage is timed. A model's own code runs here and nowhere else. What it raises becomes
ModelFailed, for the one input that caused it; InvalidInput is the model's advice to the client and
passes through.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from loguru import logger
from pydantic import BaseModel

from project.errors import InvalidInput, ModelFailed, ProjectError
from project.inference.drift.features import ImageFeatures, measure_image
from project.inference.images.decoding import ImageLimits, decode
from project.models.base import Array, Model, Params
from project.observability import metrics


@dataclass(slots=True)
class Item:
    """A decoded prediction. size: (width, height) as sent. seconds: stage → its duration."""

    array: Array
    size: tuple[int, int]
    image_features: ImageFeatures
    params: Params
    seconds: dict[str, float] = field(default_factory=dict)


class Pipeline:
    """The stages of one model; its methods may run in several threads at once."""

    def __init__(self, model: Model[Any, Any], limits: ImageLimits) -> None:
        self.model = model
        self._limits = limits

    def prepare(self, data: bytes, params: Params) -> Item:
        """Decode and preprocess the bytes of one image. Raises InvalidInput or ModelFailed."""
        started = time.perf_counter()
        decoded = decode(data, self._limits, self.model.useful_side)
        decoded_at = time.perf_counter()
        width, height = decoded.size
        metrics.INFERENCE_PIXELS.labels(self.model.name).observe(width * height)
        array = self._guarded(self.model.preprocess, decoded.image, params, size=decoded.size)
        image_features = measure_image(decoded.image, decoded.size)
        item = Item(array, decoded.size, image_features, params)
        item.seconds["decode"] = decoded_at - started
        item.seconds["preprocess"] = time.perf_counter() - decoded_at
        return item

    def forward(self, batch: list[Item]) -> list[BaseModel | ProjectError]:
        """Run the net once for the batch; where that fails, once for each item.

        Returns for each item its result or its error, so that one bad input is one error.
        """
        name = self.model.name
        started = time.perf_counter()
        try:
            size = batch[0].size if len(batch) == 1 else None
            outputs = self._guarded(self._run_net, [item.array for item in batch], size=size)
        except (ModelFailed, InvalidInput) as error:
            if len(batch) == 1:
                return [error]
            metrics.INFERENCE_BATCH_FAILURES.labels(name).inc()
            log = logger.opt(exception=error.__cause__).bind(model=name, size=len(batch))
            log.warning("batch_failed_and_is_run_one_by_one")
            return [result for item in batch for result in self.forward([item])]
        metrics.INFERENCE_BATCH.labels(name).observe(len(batch))
        seconds = time.perf_counter() - started
        return [
            self._finish(item, output, seconds) for item, output in zip(batch, outputs, strict=True)
        ]

    def _run_net(self, arrays: list[Array]) -> Sequence[Any]:
        outputs = self.model.forward(np.stack(arrays))
        if len(outputs) != len(arrays):
            raise ValueError(f"forward gave {len(outputs)} outputs for {len(arrays)} inputs")
        return outputs

    def _finish(self, item: Item, output: Any, forward_seconds: float) -> BaseModel | ProjectError:
        started = time.perf_counter()
        item.seconds["forward"] = forward_seconds
        try:
            result: BaseModel = self._guarded(self._postprocess, item, output, size=item.size)
        except (ModelFailed, InvalidInput) as error:
            return error
        item.seconds["postprocess"] = time.perf_counter() - started
        return result

    def _postprocess(self, item: Item, output: Any) -> BaseModel:
        result = self.model.postprocess(output, item.size, item.params)
        if not isinstance(result, self.model.result):
            raise TypeError(f"postprocess gave a {type(result).__name__}")
        return result

    def _guarded(self, step: Callable[..., Any], *values: Any, size: tuple[int, int] | None) -> Any:
        """Call the model; an error that is not ours becomes ModelFailed. size: see model_failed."""
        try:
            return step(*values)
        except InvalidInput:
            raise
        except Exception as error:
            raise self.model_failed(error, size) from error

    def model_failed(
        self, cause: Exception | None = None, size: tuple[int, int] | None = None
    ) -> ModelFailed:
        """The error for what a model raised. size: of the picture; None for a batch."""
        detail = "failed on this input; its operators find why in the log"
        about: dict[str, object] = {"model": self.model.name}
        if size:
            about |= {"width": size[0], "height": size[1]}
        failed = ModelFailed(f"model {self.model.name} {detail}", about=about)
        failed.__cause__ = cause
        return failed
