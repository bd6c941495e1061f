"""Validates a job request: decodes its images once, and takes its fingerprint.

An image that a worker could not decode is rejected here, while the client still waits for a
response.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from project.api.requests.body_advice import Names
from project.api.requests.reader import FIELD
from project.api.requests.unicode import check_text
from project.errors import InvalidImage, InvalidInput
from project.inference.images.decoding import ImageLimits, decode
from project.models.base import AnyModel, LongModel, Params

KEY_HEADER = "Idempotency-Key"
MAX_KEY = 255  # characters
KEY_PATTERN = r"^[\x21-\x7e]+$"
_KEY = re.compile(rf"[\x21-\x7e]{{1,{MAX_KEY}}}")


@dataclass(frozen=True)
class JobImage:
    """An image that decodes. media_type: found in its bytes, whatever the client declared."""

    name: str
    data: bytes
    media_type: str


@dataclass(frozen=True)
class JobRequest:
    """A valid job request. key: the Idempotency-Key."""

    model: AnyModel
    params: dict[str, Any]
    images: tuple[JobImage, ...]
    fingerprint: str
    key: str | None


def images_of(model: AnyModel) -> Names:
    """The names of a model's input images."""
    return model.images if isinstance(model, LongModel) else (FIELD,)


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
    model: AnyModel, limits: ImageLimits, images: dict[str, bytes], params: Params, key: str | None
) -> JobRequest:
    """Decode every image and take the fingerprint of the request; it blocks.

    Raises InvalidImage, and InvalidInput for parameters that JSON cannot hold.
    """
    values = params.model_dump(mode="json")
    check_text(values)  # again, because a model's validators may have changed the values
    checked = tuple(_checked(model, limits, name, images[name]) for name in images_of(model))
    content = [model.name, values, [[image.name, len(image.data)] for image in checked]]
    try:
        text = json.dumps(content, sort_keys=True, allow_nan=False)
    except ValueError as error:
        raise InvalidInput("send finite numbers; infinity and NaN are not allowed") from error
    fingerprint = hashlib.sha256(text.encode())
    for image in checked:
        fingerprint.update(image.data)
    return JobRequest(model, values, checked, fingerprint.hexdigest(), key)


def _checked(model: AnyModel, limits: ImageLimits, name: str, data: bytes) -> JobImage:
    useful_side = None if isinstance(model, LongModel) else model.useful_side
    try:
        decoded = decode(data, limits, useful_side)
    except InvalidImage as error:
        if len(images_of(model)) == 1:
            raise
        raise InvalidImage(f"`{name}`: {error.detail}", fields={name: error.detail}) from error
    return JobImage(name, data, decoded.media_type)
