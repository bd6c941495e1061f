"""Validates a job request: decodes its pictures once, and takes its fingerprint.

A picture that a worker could not decode is rejected here, while the client still waits for a
response.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from project.api.requests.reader import ModelRequest
from project.api.requests.unicode import check_text
from project.errors import InvalidImage, InvalidInput
from project.inference.images.decoding import ImageLimits, decode
from project.models.base import AnyModel
from project.models.base.inputs import fields_of, pictures_of

KEY_HEADER = "Idempotency-Key"
TEXT_TYPE = "text/plain; charset=utf-8"
MAX_KEY = 255  # characters
KEY_PATTERN = r"^[\x21-\x7e]+$"
_KEY = re.compile(rf"[\x21-\x7e]{{1,{MAX_KEY}}}")


@dataclass(frozen=True)
class JobInput:
    """A picture that decodes, or a text. media_type: of a picture, as found in its bytes."""

    name: str
    data: bytes
    media_type: str


@dataclass(frozen=True)
class JobRequest:
    """A valid job request. key: the Idempotency-Key."""

    model: AnyModel
    params: dict[str, Any]
    inputs: tuple[JobInput, ...]
    fingerprint: str
    key: str | None


def idempotency_key(request: Request) -> str | None:
    """The request's Idempotency-Key, if it has one. Raises InvalidInput for an invalid key."""
    keys = request.headers.getlist(KEY_HEADER)
    if not keys:
        return None
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        advice = "send one of 1 to 255 visible ASCII characters, such as a UUID"
        raise InvalidInput(
            f"the header {KEY_HEADER} cannot be used; {advice}", fields={KEY_HEADER: advice}
        )
    return keys[0]


def validate(
    model: AnyModel, limits: ImageLimits, request: ModelRequest, key: str | None
) -> JobRequest:
    """Decode every picture and take the fingerprint of the request; it blocks.

    Raises InvalidImage, and InvalidInput for parameters that JSON cannot hold.
    """
    values = request.params.model_dump(mode="json")
    check_text(values)  # again, because a model's validators may have changed the values
    inputs = tuple(
        _checked(model, limits, name, request.raw[name])
        for name in fields_of(model.inputs)
        if name in request.raw
    )
    content = [model.name, values, [[item.name, len(item.data)] for item in inputs]]
    try:
        text = json.dumps(content, sort_keys=True, allow_nan=False)
    except ValueError as error:
        raise InvalidInput("send finite numbers; infinity and NaN are not allowed") from error
    fingerprint = hashlib.sha256(text.encode())
    for item in inputs:
        fingerprint.update(item.data)
    return JobRequest(model, values, inputs, fingerprint.hexdigest(), key)


def _checked(model: AnyModel, limits: ImageLimits, name: str, data: bytes | str) -> JobInput:
    if isinstance(data, str):
        return JobInput(name, data.encode(), TEXT_TYPE)
    try:
        decoded = decode(data, limits, fields_of(model.inputs)[name].useful_side)
    except InvalidImage as error:
        if len(pictures_of(model.inputs)) == 1:
            raise
        raise InvalidImage(f"`{name}`: {error.detail}", fields={name: error.detail}) from error
    return JobInput(name, data, decoded.media_type)
