"""Encodes results: as JSON, as a picture, or as a drawing of what was found."""

import base64
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PIL import Image
from pydantic import BaseModel

from project.models.base import AnyModel

JSON = "application/json"
PNG = "image/png"
PICTURES = {PNG: "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}  # media type → Pillow's name
QUALITY = 85
PNG_LEVEL = 1  # an enlarged photo of 12 megapixels takes a fourth of the time that 6 takes
_OPAQUE_MODES = {"RGB", "L"}  # that a JPEG can hold


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a result is sent. quality: 1 to 100, of a JPEG or WebP."""

    media_type: str
    quality: int = QUALITY


def media_types(model: type[AnyModel] | AnyModel) -> tuple[str, ...]:
    """What a model's result can be sent as, the usual one first."""
    if issubclass(model.result, Image.Image):
        return (*PICTURES, JSON)
    return (JSON, *PICTURES) if model.can_draw() else (JSON,)


def usual_encoding(model: AnyModel) -> Encoding:
    """The encoding of a result whose client names none."""
    return Encoding(media_types(model)[0])


def is_drawing(model: AnyModel, encoding: Encoding) -> bool:
    """Whether the result is no picture, but is wanted as one."""
    return encoding.media_type in PICTURES and not issubclass(model.result, Image.Image)


def encode(result: Any, encoding: Encoding, draw: Callable[[], Image.Image]) -> bytes:
    """Encode a result.

    result: an image or a Pydantic model. draw: draws the result, where it is no picture and is
    wanted as one.
    """
    if encoding.media_type in PICTURES:
        image = result if isinstance(result, Image.Image) else draw()
        return encode_picture(image, encoding)
    if isinstance(result, BaseModel):
        return result.model_dump_json().encode()
    picture = base64.b64encode(encode_picture(result, Encoding(PNG))).decode()
    return json.dumps({"picture": f"data:{PNG};base64,{picture}"}).encode()


def encode_picture(image: Image.Image, encoding: Encoding) -> bytes:
    """Encode a picture; what is transparent becomes white in a JPEG."""
    name = PICTURES[encoding.media_type]
    options: dict[str, Any] = {"quality": encoding.quality}
    if name == "PNG":
        options = {"compress_level": PNG_LEVEL}
    elif name == "JPEG" and image.mode not in _OPAQUE_MODES:
        layer = image.convert("RGBA")
        image = Image.new("RGB", image.size, "white")
        image.paste(layer, mask=layer)
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()
