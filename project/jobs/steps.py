"""A long model's work: from the bytes of its inputs to the bytes of its result, step by step.

What a model raises that is no advice to the caller becomes ModelFailed, as in a prediction.
"""

import io
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from PIL import Image
from pydantic import BaseModel

from project.errors import InvalidInput, ModelFailed
from project.inference.images.decoding import ImageLimits, decode
from project.models.base import LongModel, Params

JSON, PNG = "application/json", "image/png"


@dataclass(frozen=True)
class Output:
    """A result as it is stored. seconds: stage → what it took."""

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
    """Do the work; it blocks. check: told the share done (0 to 1) between two steps, and may raise.

    Raises InvalidInput for what can never work, ModelFailed for what the model raised.
    """
    started = time.perf_counter()
    pictures = {name: decode(data, limits).image for name, data in images.items()}
    decoded = time.perf_counter()
    check(0.0)
    with closing(_steps(model, pictures, params)) as steps:
        try:
            while True:
                check(next(steps))
        except StopIteration as end:
            result = end.value
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
    """The model's own steps, with its faults under their name."""
    try:
        return (yield from model.steps(pictures, params))
    except InvalidInput:
        raise
    except Exception as error:
        raise ModelFailed(
            f"model {model.name} failed on this input; its operators find why in the log"
        ) from error


def encode(result: BaseModel | Image.Image) -> Output:
    """A result as it is stored: a picture as PNG, all else as JSON."""
    if isinstance(result, BaseModel):
        return Output(result.model_dump_json().encode(), JSON)
    buffer = io.BytesIO()
    result.save(buffer, "PNG")
    return Output(buffer.getvalue(), PNG)
