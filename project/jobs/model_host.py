"""Hosts the models of a job worker, and does a job's work with one of them.

Models that predict at once go through the runner, as in the API; long ones run in steps, in a
thread. What a model raises, except InvalidInput, becomes ModelFailed, as in a prediction.
"""

import asyncio
import contextvars
import io
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from PIL import Image
from pydantic import BaseModel, ValidationError

from project.errors import InvalidInput, ModelFailed, ModelUnavailable
from project.inference.images.decoding import ImageLimits, decode
from project.inference.loading import load, retry_until_loaded
from project.models.base import AnyModel, LongModel, Model, Params
from project.observability import metrics
from project.settings import Settings

if TYPE_CHECKING:
    from project.inference.runner import Runner

JSON, PNG = "application/json", "image/png"
T = TypeVar("T")
Report = Callable[[float], None]


@dataclass(frozen=True)
class Output:
    """An encoded result. seconds: stage → seconds."""

    data: bytes
    media_type: str
    seconds: dict[str, float] = field(default_factory=dict)


class ModelHost:
    """Loads the models as an async context manager; a failed load is retried in the background."""

    def __init__(self, models: Sequence[AnyModel], settings: Settings) -> None:
        self._models = {model.name: model for model in models}
        self._limits = ImageLimits.of(settings)
        self._runner = _runner([model for model in models if isinstance(model, Model)], settings)
        self._failures: dict[str, str | None] = {}
        self._exit_stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Load every model, off the event loop."""
        metrics.declare(jobs=self._models)
        async with AsyncExitStack() as stack:
            if self._runner:
                await stack.enter_async_context(self._runner)
            for model in self._models.values():
                if not isinstance(model, LongModel):
                    continue
                attempt = partial(self._load, model)
                if await asyncio.to_thread(attempt):
                    stack.callback(asyncio.create_task(retry_until_loaded(attempt)).cancel)
            self._exit_stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cancel the retries and stop the runner."""
        await self._exit_stack.aclose()

    def _load(self, model: LongModel[Any, Any]) -> str | None:
        self._failures[model.name] = failure = load(model, dict)
        return failure

    async def work(
        self, name: str, images: Mapping[str, bytes], params: dict[str, Any], report: Report
    ) -> Output:
        """Do a job's work. images: name → the bytes of a file. report: see `run_steps`.

        Raises the model's InvalidInput or ModelFailed, ModelUnavailable where this worker does not
        have the model or has not loaded it, and whatever `report` raises.
        """
        model = self._models.get(name)
        if model is None or self._failures.get(name):
            raise ModelUnavailable(
                f"model {name} is not loaded on this worker; the job is tried again"
            )
        values = _validated(model, params)
        if isinstance(model, LongModel):
            return await in_thread(partial(run_steps, model, self._limits, images, values, report))
        if self._runner is None:
            raise RuntimeError("a model that predicts at once has no runner")
        (data,) = images.values()
        report(0.0)
        prediction = await self._runner.predict(name, data, values)
        report(1.0)
        output = encode(prediction.result)
        return Output(output.data, output.media_type, prediction.seconds)


def _runner(models: Sequence[Model[Any, Any]], settings: Settings) -> "Runner | None":
    """A runner of the models that predict at once: one picture at a time, without a cache."""
    if not models:
        return None  # and torch, which is slow to import, stays out of the process
    from project.inference.drift.monitor import DriftMonitor  # noqa: PLC0415
    from project.inference.runner import Runner, RunnerOptions  # noqa: PLC0415

    options = RunnerOptions.of(settings)
    one_by_one = replace(options, streams=1, guaranteed_streams=1, batch=1)
    return Runner(models, one_by_one, drift=DriftMonitor.of(settings))


def _validated(model: AnyModel, params: dict[str, Any]) -> Params:
    """Validate the parameters, which another release may have accepted. Raises InvalidInput."""
    try:
        return model.params.model_validate(params)
    except ValidationError as error:
        raise InvalidInput(
            f"this release of {model.name} takes other parameters than the job was sent with: "
            "send it again"
        ) from error


def run_steps(
    model: LongModel[Any, Any],
    limits: ImageLimits,
    images: Mapping[str, bytes],
    params: Params,
    report: Report,
) -> Output:
    """Decode the images, run every step and encode the result; it blocks.

    report: called between two steps with the fraction done (0 to 1); an exception ends the attempt.
    Raises InvalidInput for inputs that can never work, ModelFailed for what the model raised.
    """
    started = time.perf_counter()
    pictures = {name: decode(data, limits).image for name, data in images.items()}
    decoded = time.perf_counter()
    report(0.0)
    with closing(_steps(model, pictures, params)) as steps:
        try:
            while True:
                report(next(steps))
        except StopIteration as stop:
            result = stop.value
    finished = time.perf_counter()
    output = encode(result)
    seconds = {
        "decode": decoded - started,
        "forward": finished - decoded,
        "postprocess": time.perf_counter() - finished,
    }
    return Output(output.data, output.media_type, seconds)


def _steps(
    model: LongModel[Any, Any], pictures: Mapping[str, Image.Image], params: Params
) -> Generator[float, None, Any]:
    try:
        return (yield from model.steps(pictures, params))
    except InvalidInput:
        raise
    except Exception as error:
        raise ModelFailed(
            f"model {model.name} failed on this input; its operators find why in the log"
        ) from error


def encode(result: BaseModel | Image.Image) -> Output:
    """Encode a result: an image as PNG, everything else as JSON."""
    if isinstance(result, BaseModel):
        return Output(result.model_dump_json().encode(), JSON)
    buffer = io.BytesIO()
    result.save(buffer, "PNG")
    return Output(buffer.getvalue(), PNG)


async def in_thread(call: Callable[[], T]) -> T:
    """Run `call` in a daemon thread of its own, and return or raise what it does.

    The threads of asyncio.to_thread are joined when the process exits, so a step that hangs would
    block the exit.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(result)  # type: ignore[arg-type]
        else:
            done.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = context.run(call)
        except BaseException as raised:  # noqa: BLE001 - the future raises it again
            error = raised
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="job", daemon=True).start()
    return await done
