"""The stages of a prediction that run in threads: decode, preprocess, forward, postprocess.

Each stage is timed. A model's own code runs here and nowhere else. What it raises becomes
ModelFailed, for the one input that caused it; InvalidInput is the model's advice to the client and
passes through.
"""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from loguru import logger
from PIL import Image
from pydantic import ValidationError

from project.errors import InvalidImage, InvalidInput, ModelFailed, ProjectError
from project.inference.drift.features import measure
from project.inference.encoding import Encoding, encode, is_drawing
from project.inference.images.decoding import ImageLimits, decode
from project.models.base import AnyModel, Array, BatchModel, Inputs, Params, StepModel, sent_size
from project.models.base.inputs import fields_of, pictures_of
from project.observability import metrics

Raw = Mapping[str, bytes | str]
"""Name of an input → the bytes of a picture's file, or a text."""


@dataclass(frozen=True, slots=True)
class Output:
    """A result, and what it is sent as."""

    result: Any
    body: bytes


@dataclass(slots=True)
class Item:
    """A prediction whose inputs are decoded.

    features: what drift is measured by. pixels: of the decoded pictures, which it holds until its
    result. raw: kept for a drawing alone. array: the preprocessed inputs; None for a model of
    steps. seconds: stage → its duration.
    """

    inputs: Inputs
    params: Params
    encoding: Encoding
    features: dict[str, float]
    pixels: int
    raw: Raw | None = None
    array: Array | None = None
    seconds: dict[str, float] = field(default_factory=dict)


class Pipeline:
    """The stages of one model; its methods may run in several threads at once."""

    def __init__(self, model: AnyModel, limits: ImageLimits) -> None:
        self.model = model
        self.limits = limits

    def prepare(self, raw: Raw, params: Params, encoding: Encoding) -> Item:
        """Decode the inputs, and preprocess them for a model of batches.

        Raises InvalidInput or ModelFailed.
        """
        started = time.perf_counter()
        inputs = self._decode(raw)
        decoded_at = time.perf_counter()
        pixels = 0
        for name in pictures_of(self.model.inputs):
            if (picture := getattr(inputs, name)) is not None:
                width, height = sent_size(picture)
                metrics.INFERENCE_PIXELS.labels(self.model.name).observe(width * height)
                pixels += picture.width * picture.height
        item = Item(inputs, params, encoding, measure(inputs), pixels)
        item.seconds["decode"] = decoded_at - started
        if is_drawing(self.model, encoding):
            item.raw = raw
        if isinstance(self.model, BatchModel):
            item.array = self._guarded(self.model.preprocess, inputs, params, item=item)
            item.seconds["preprocess"] = time.perf_counter() - decoded_at
        return item

    def _decode(self, raw: Raw, *, reduced: bool = True) -> Inputs:
        """Decode all pictures. reduced: to what the model can use of them."""
        values: dict[str, Any] = {}
        for name, declared in fields_of(self.model.inputs).items():
            data = raw.get(name)
            if isinstance(data, bytes):
                values[name] = self._decode_picture(
                    name, data, declared.useful_side if reduced else None
                )
            elif data is not None:
                values[name] = data
        try:
            return self.model.inputs(**values)
        except ValidationError as error:
            raise InvalidInput(
                "correct the inputs named in errors",
                fields={
                    ".".join(map(str, item["loc"]))[:100] or "inputs": item["msg"]
                    for item in error.errors(include_url=False, include_input=False)
                },
            ) from error

    def _decode_picture(self, name: str, data: bytes, useful_side: int | None) -> Image.Image:
        try:
            return decode(data, self.limits, useful_side).image
        except InvalidImage as error:
            if len(pictures_of(self.model.inputs)) == 1:
                raise
            raise InvalidImage(f"`{name}`: {error.detail}", fields={name: error.detail}) from error

    def forward(self, batch: list[Item]) -> list[Output | ProjectError]:
        """Run the net once for the batch; where that fails, once for each item.

        Returns for each item its output or its error, so that one bad input is one error.
        """
        name = self.model.name
        started = time.perf_counter()
        try:
            only = batch[0] if len(batch) == 1 else None
            outputs = self._guarded(self._run_net, [item.array for item in batch], item=only)
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
            self._finish_batch(item, output, seconds)
            for item, output in zip(batch, outputs, strict=True)
        ]

    def _run_net(self, arrays: list[Array]) -> Sequence[Any]:
        outputs: Sequence[Any] = self.model.forward(np.stack(arrays))  # type: ignore[attr-defined]
        if len(outputs) != len(arrays):
            raise ValueError(f"forward gave {len(outputs)} outputs for {len(arrays)} inputs")
        return outputs

    def _finish_batch(
        self, item: Item, output: Any, forward_seconds: float
    ) -> Output | ProjectError:
        started = time.perf_counter()
        item.seconds["forward"] = forward_seconds
        try:
            result = self._guarded(
                self.model.postprocess,  # type: ignore[attr-defined]
                output,
                item.inputs,
                item.params,
                item=item,
            )
            finished = self._finish(item, result)
        except (ModelFailed, InvalidInput) as error:
            return error
        item.seconds["postprocess"] = time.perf_counter() - started
        return finished

    def run_steps(self, item: Item, go_on: Callable[[float], bool]) -> Output | None:
        """Run the steps of a model to their end.

        go_on: called after each step with the share done; False closes the generator, whose result
        is None then. What it raises passes through. Raises InvalidInput or ModelFailed.
        """
        started = time.perf_counter()
        with closing(self._steps(item)) as steps:
            try:
                while go_on(next(steps)):
                    pass
            except StopIteration as stop:
                result = stop.value
            else:
                return None
        stepped_at = time.perf_counter()
        item.seconds["forward"] = stepped_at - started
        output = self._finish(item, result)
        item.seconds["postprocess"] = time.perf_counter() - stepped_at
        return output

    def _steps(self, item: Item) -> Generator[float, None, Any]:
        """The model's steps, whose errors become ours."""
        if not isinstance(self.model, StepModel):
            raise TypeError(f"{self.model.name} has no steps")
        steps = self.model.steps(item.inputs, item.params)
        with closing(steps):
            while True:
                try:
                    share = next(steps)
                except StopIteration as stop:
                    return stop.value
                except InvalidInput:
                    raise
                except Exception as error:
                    raise self.model_failed(error, item) from error
                yield share

    def _finish(self, item: Item, result: Any) -> Output:
        """Check the type of a result, and encode it."""
        if not isinstance(result, self.model.result):
            step = "steps" if isinstance(self.model, StepModel) else "postprocess"
            wanted, given = self.model.result.__name__, type(result).__name__
            cause = TypeError(f"{self.model.name}: {step} returned {given}, not {wanted}")
            raise self.model_failed(cause, item) from cause
        return Output(result, self.encode(result, item.raw or {}, item.encoding))

    def encode(self, result: Any, raw: Raw, encoding: Encoding) -> bytes:
        """Encode a result. raw: the inputs, decoded again at full size where it is drawn."""

        def draw() -> Image.Image:
            return self.model.draw(self._decode(raw, reduced=False), result)

        return self._guarded(encode, result, encoding, draw)  # type: ignore[no-any-return]

    def _guarded(self, step: Callable[..., Any], *values: Any, item: Item | None = None) -> Any:
        """Call the model; an error that is not ours becomes ModelFailed. item: see model_failed."""
        try:
            return step(*values)
        except InvalidInput:
            raise
        except Exception as error:
            raise self.model_failed(error, item) from error

    def model_failed(self, cause: Exception | None = None, item: Item | None = None) -> ModelFailed:
        """The error for what a model raised. item: whose; None for a batch."""
        detail = "failed on this input; its operators find why in the log"
        about: dict[str, object] = {"model": self.model.name}
        pictures = pictures_of(self.model.inputs)
        if item and pictures and (picture := getattr(item.inputs, pictures[0])) is not None:
            about["width"], about["height"] = sent_size(picture)
        failed = ModelFailed(f"model {self.model.name} {detail}", about=about)
        failed.__cause__ = cause
        return failed
