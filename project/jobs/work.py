"""One job's work: from the bytes of its inputs to the bytes of its result, step by step.

A long model yields its progress itself; for a quick one the net is one step. What a model raises
that is no advice to the caller becomes ModelFailed, as in a prediction.
"""

import io
import time
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from PIL import Image
from pydantic import BaseModel

from project.errors import InvalidInput, ModelFailed, ProjectError
from project.inference.images import ImageLimits, decode
from project.inference.stages import Stages
from project.models._base import Model, Params
from project.models._long import AnyModel, LongModel

JSON, PNG = "application/json", "image/png"


@dataclass(frozen=True)
class Output:
    """A result as it is stored. seconds: stage → what it took."""

    data: bytes
    media_type: str
    seconds: dict[str, float] = field(default_factory=dict)


Work = Generator[float, None, Output]


def work(model: AnyModel, limits: ImageLimits, images: Mapping[str, bytes], params: Params) -> Work:
    """Yield the share done (0 to 1) between steps; return the output.

    Raises InvalidInput for what can never work, ModelFailed for what the model raised.
    """
    if isinstance(model, LongModel):
        return _long(model, limits, images, params)
    return _quick(model, limits, images, params)


def _quick(
    model: Model[Any, Any], limits: ImageLimits, images: Mapping[str, bytes], params: Params
) -> Work:
    (data,) = images.values()
    stages = Stages(model, limits)
    item = stages.prepare(data, params)
    yield 0.5
    (result,) = stages.forward([item])
    if isinstance(result, ProjectError):
        raise result
    return Output(*_encoded(result), item.seconds)


def _long(
    model: LongModel[Any, Any], limits: ImageLimits, images: Mapping[str, bytes], params: Params
) -> Work:
    started = time.perf_counter()
    pictures = {name: decode(data, limits).image for name, data in images.items()}
    decoded = time.perf_counter()
    yield 0.0
    result = yield from _guarded(model, pictures, params)
    finished = time.perf_counter()
    data, media_type = _encoded(result)
    seconds = {
        "decode": decoded - started,
        "forward": finished - decoded,
        "postprocess": time.perf_counter() - finished,
    }
    return Output(data, media_type, seconds)


def _guarded(
    model: LongModel[Any, Any], pictures: Mapping[str, Image.Image], params: Params
) -> Generator[float, None, Any]:
    with closing(model.steps(pictures, params)) as steps:
        while True:
            try:
                share = next(steps)
            except StopIteration as end:
                return end.value
            except InvalidInput:
                raise
            except Exception as error:
                raise ModelFailed(
                    f"model {model.name} failed on this input; its operators find why in the log"
                ) from error
            yield share


def _encoded(result: Any) -> tuple[bytes, str]:
    if isinstance(result, BaseModel):
        return result.model_dump_json().encode(), JSON
    buffer = io.BytesIO()
    result.save(buffer, "PNG")
    return buffer.getvalue(), PNG
