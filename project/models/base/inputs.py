"""What goes into a model: classes whose fields are pictures and texts, and its parameters."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from PIL import Image
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    JsonValue,
)
from pydantic.config import JsonDict
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

USEFUL_SIDE = "x-useful-side"
SENT_SIZE = "sent_size"  # in Image.info, which resize, convert and copy hand on


class _PictureSchema:
    """How Pydantic treats a PIL image: checked by type; a PNG as data URL in JSON."""

    def __get_pydantic_core_schema__(
        self, _source: Any, _handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.is_instance_schema(
            Image.Image,
            serialization=core_schema.plain_serializer_function_ser_schema(
                data_url, return_schema=core_schema.str_schema(), when_used="json"
            ),
        )

    def __get_pydantic_json_schema__(
        self, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "contentEncoding": "base64", "x-kind": "picture"}


Picture = Annotated[Image.Image, _PictureSchema()]
"""A PIL image. As an input it is RGB and upright; in JSON it is a PNG as data URL."""


def data_url(image: Image.Image) -> str:
    """Encode a picture as the data URL of a PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def picture(default: Any = ..., *, description: str = "", useful_side: int | None = None) -> Any:
    """Declare a picture that needs more than its type; as pydantic.Field().

    useful_side: pixels. A picture whose shorter side has twice as many or more may come scaled
    down, to no less than that. None: every pixel counts.
    """
    return Field(default, description=description, json_schema_extra={USEFUL_SIDE: useful_side})


class Inputs(BaseModel):
    """Base of a model's inputs: each field is a Picture or a str; an optional one has a default."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, arbitrary_types_allowed=True
    )


class ImageInput(Inputs):
    """One picture, named `image`."""

    image: Picture


class TextInput(Inputs):
    """One text, named `text`."""

    text: str = Field(min_length=1)


class NoInputs(Inputs):
    """Nothing: the parameters say all."""


class Params(BaseModel):
    """Base of a model's parameters: give each a type, bounds, a default and a description.

    Infinity and NaN are refused, as JSON cannot hold them.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False
    )


def rectangle_on(picture: str, x: str, y: str, width: str, height: str) -> ConfigDict:
    """The `model_config` of parameters four of which are a rectangle on a picture.

    picture: the name of the input. The others: names of parameters, each a share of the picture's
    width or height; x and y are the upper left corner. The page draws it on the picture.
    """
    fields: list[JsonValue] = [x, y, width, height]
    group: JsonDict = {"kind": "rectangle", "input": picture, "unit": "share", "fields": fields}
    return ConfigDict(json_schema_extra={"x-groups": [group]})


class NoParams(Params):
    """For a model without parameters."""


def sent_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) of an input as it was sent, upright; it is larger where useful_side acted."""
    return cast("tuple[int, int]", image.info.get(SENT_SIZE, image.size))


@dataclass(frozen=True, slots=True)
class InputField:
    """One input of a model, as its class declares it. examples: of a text."""

    name: str
    kind: Literal["image", "text"]
    required: bool
    description: str
    useful_side: int | None = None
    max_length: int | None = None
    examples: tuple[str, ...] = ()


@cache
def fields_of(inputs: type[Inputs]) -> Mapping[str, InputField]:
    """Name → input, in the order of the class. Raises TypeError for a field of another type."""
    return MappingProxyType({name: _field(name, it) for name, it in inputs.model_fields.items()})


def pictures_of(inputs: type[Inputs]) -> tuple[str, ...]:
    """The names of the pictures."""
    return tuple(name for name, field in fields_of(inputs).items() if field.kind == "image")


def texts_of(inputs: type[Inputs]) -> tuple[str, ...]:
    """The names of the texts."""
    return tuple(name for name, field in fields_of(inputs).items() if field.kind == "text")


def _field(name: str, info: FieldInfo) -> InputField:
    kind = _kind(info)
    if kind is None:
        raise TypeError(f"{name} is neither a picture nor a text")
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    lengths = [getattr(it, "max_length", None) for it in info.metadata]
    examples = info.examples or ([info.default] if isinstance(info.default, str) else [])
    return InputField(
        name,
        kind,
        required=info.is_required(),
        description=info.description or "",
        useful_side=cast("int | None", extra.get(USEFUL_SIDE)),
        max_length=next((it for it in lengths if it is not None), None),
        examples=tuple(map(str, examples)),
    )


def _kind(info: FieldInfo) -> Literal["image", "text"] | None:
    """The kind of a field: of its type, or of the one beside None."""
    declared = info.annotation
    if get_origin(declared) in (Union, UnionType):
        others = [one for one in get_args(declared) if one is not type(None)]
        declared = others[0] if len(others) == 1 else None
    if get_origin(declared) is Annotated:
        declared = get_args(declared)[0]
    if declared is str:
        return "text"
    return "image" if declared is Image.Image else None
