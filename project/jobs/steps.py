"""Runs the steps of a long model in a thread, from the bytes of its inputs to those of its result.

What a model raises, except InvalidInput, becomes ModelFailed, as in a prediction.
"""

import asyncio
import contextvars
import io
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, TypeVar

from PIL import Image
from pydantic import BaseModel

from project.errors import InvalidInput, ModelFailed
from project.inference.images.decoding import ImageLimits, decode
from project.models.base import LongModel, Params

JSON, PNG = "application/json", "image/png"
T = TypeVar("T")


@dataclass(frozen=True)
class Output:
    """An encoded result. seconds: stage → seconds."""

    data: bytes
    media_type: str
    seconds: dict[str, float] = field(default_factory=dict)


def run_steps(
    model: LongModel[Any, Any],
    limits: ImageLimits,
    images: Mapping[str, bytes],
    params: Params,
    check: Callable[[float], None],
) -> Output:
    """Decode the images, run every step and encode the result; it blocks.

    check: called between two steps with the fraction done (0 to 1); an exception ends the run.
    Raises InvalidInput for inputs that can never work, ModelFailed for what the model raised.
    """
    started = time.perf_counter()
    pictures = {name: decode(data, limits).image for name, data in images.items()}
    decoded = time.perf_counter()
    check(0.0)
    with closing(_steps(model, pictures, params)) as steps:
        try:
            while True:
                check(next(steps))
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
