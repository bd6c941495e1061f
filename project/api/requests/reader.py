"""Reads a model's inputs and parameters from a request, in every way that they may be sent.

Each way becomes the same: the bytes of the pictures, the texts, and the validated parameters.
"""

import asyncio
import base64
import binascii
import json
import re
import sys
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import cache, partial
from typing import Annotated, Any
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from project.api.requests.body_advice import (
    JSON,
    MULTIPART,
    TEXT,
    URLENCODED,
    accepted_bodies,
    curl_example,
    in_words,
    json_example,
    required_pictures,
    takes_raw_picture,
    takes_raw_text,
)
from project.api.requests.unicode import check_text
from project.errors import InvalidImage, InvalidInput, UnsupportedMediaType
from project.inference.encoding import QUALITY
from project.models.base import AnyModel, Inputs, Params
from project.models.base.inputs import pictures_of, texts_of
from project.observability import metrics

MAX_FIELDS = 32
MAX_JSON_PARTS = 10_000
CHARSETS = {b"utf-8", b"us-ascii", b"iso-8859-1"}  # punycode would decode 1 MB for minutes
_DATA_URL = re.compile(r"data:[\w.+/-]*(;[\w=.+-]+)*;base64,", re.ASCII)
_SPACES = re.compile(r"\s+")
_QUALITY = TypeAdapter(Annotated[int, Field(ge=1, le=100)])


@dataclass(frozen=True)
class ModelRequest:
    """What a request asks of a model.

    raw: name → the bytes of a picture's file, or a text. quality: of a picture as the answer.
    """

    raw: dict[str, bytes | str]
    params: Params
    quality: int = QUALITY


async def read_request(
    request: Request, model: AnyModel, max_text_length: int, *, takes_quality: bool = False
) -> ModelRequest:
    """Read what is asked of a model.

    Texts and parameters come from the query, form fields or the JSON object; those of the body
    override those of the query, which must be valid all the same. max_text_length: characters.
    takes_quality: whether there is a parameter `quality` beside the model's own.
    Raises InvalidInput, InvalidImage or UnsupportedMediaType.
    """
    inputs = model.inputs
    content_type = request.headers.get("content-type", "")
    media_type = content_type.split(";")[0].strip().lower()
    is_picture = media_type.startswith("image/") or media_type == "application/octet-stream"
    values = unique_values(request.query_params.multi_items(), model.params)
    pictures: dict[str, bytes] = {}
    fields: dict[str, Any] = {}
    encoding = "query"
    if media_type == MULTIPART:
        encoding = "multipart"
        pictures, fields = await _from_form(request, model)
    elif media_type == JSON:
        encoding = "json"
        body = await request.body()
        pictures, fields = await asyncio.to_thread(_from_json, body, inputs, max_text_length)
        fields = with_booleans_as_text(fields, model.params)
    elif is_picture and takes_raw_picture(inputs):
        encoding = "raw"
        pictures[pictures_of(inputs)[0]] = await request.body()
    elif media_type == TEXT and takes_raw_text(inputs):
        encoding = "text"
        fields[texts_of(inputs)[0]] = _decoded(await request.body(), _charset(content_type))
    elif media_type == URLENCODED and not required_pictures(inputs):
        encoding = "urlencoded"
        fields = unique_values(_from_text(await request.body()), model.params)
    elif media_type or required_pictures(inputs) or await request.body():  # else the query has all
        given = media_type[:100] or "missing"
        raise UnsupportedMediaType(f"{accepted_bodies(inputs)}; the Content-Type is {given}")
    check = partial(
        validate,
        model,
        pictures,
        max_text_length=max_text_length,
        takes_quality=takes_quality,
    )
    if values.keys() & fields.keys():
        check({**fields, **values})
    asked = check({**values, **fields})
    _input_counter(encoding)()
    return asked


@cache
def _input_counter(encoding: str) -> Callable[[], None]:
    """Return what counts inputs that were sent so; cached, because every prediction needs it."""
    return metrics.INFERENCE_INPUTS.labels(encoding).inc


async def _from_form(request: Request, model: AnyModel) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The pictures, and the texts and parameters."""
    inputs = model.inputs
    _, options = parse_options_header(request.headers["content-type"])
    if options.get(b"charset", b"utf-8").lower() not in CHARSETS:
        raise InvalidInput("the form's charset must be utf-8; leave it out of the Content-Type")
    try:
        async with aclosing(request.stream()) as stream:
            parser = _FormParser(
                request.headers,
                stream,
                max_files=len(inputs.model_fields),
                max_fields=MAX_FIELDS,
                max_part_size=sys.maxsize,  # a field may be a long text; the body is bounded
            )
            form = await parser.parse()
    except MultiPartException as error:
        fault = error.message.rstrip(".")
        advice = curl_example(inputs)
        raise HTTPException(400, f"the form cannot be read: {fault}; {advice}") from error
    try:
        fields = unique_values(form.multi_items(), model.params)
        parts = {name: fields.pop(name, None) for name in pictures_of(inputs)}
        pictures = {
            name: await part.read() for name, part in parts.items() if isinstance(part, UploadFile)
        }
        for name in texts_of(inputs):
            if isinstance(part := fields.get(name), UploadFile):
                fields[name] = _decoded(await part.read(), "utf-8", name)
    finally:
        await form.close()
    missing = tuple(name for name in required_pictures(inputs) if name not in pictures)
    if missing:
        files = "file" if len(missing) == 1 else "files"
        raise InvalidImage(
            f"the form has no {files} named {in_words(missing)}; {curl_example(inputs)}"
        )
    return pictures, fields


def _charset(content_type: str) -> str:
    """The charset of a text; UTF-8 where none is named. Raises UnsupportedMediaType."""
    _, options = parse_options_header(content_type)
    charset = options.get(b"charset", b"utf-8").lower()
    if charset not in CHARSETS:
        raise UnsupportedMediaType("send the text in UTF-8; another charset is not read")
    return charset.decode()


def _decoded(body: bytes, charset: str, name: str = "the body") -> str:
    try:
        return body.decode(charset)
    except UnicodeDecodeError as error:
        fault = f"is not {charset}: byte {error.start} begins no character"
        raise InvalidInput(f"send {name} in UTF-8", fields={name: fault}) from error


def _from_text(body: bytes) -> list[tuple[str, str]]:
    try:
        text = body.decode()
        return parse_qsl(
            text,
            keep_blank_values=True,
            strict_parsing=bool(text),
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError as error:
        raise InvalidInput(
            f"the form cannot be read: write at most {MAX_FIELDS} parameters as name=value&…"
        ) from error


def unique_values(items: list[tuple[str, Any]], params: type[Params]) -> dict[str, Any]:
    """Return name → value, or → list of values where the model takes a list.

    Raises InvalidInput where any other name occurs twice: neither value is preferred.
    """
    values: dict[str, list[Any]] = {}
    for name, value in items:
        values.setdefault(name, []).append(value)
    lists = _list_fields(params)
    repeated = [
        name[:100] for name, found in values.items() if len(found) > 1 and name not in lists
    ]
    if repeated:
        fields = dict.fromkeys(repeated[:MAX_FIELDS], "sent more than once")
        raise InvalidInput("send each parameter once", fields=fields)
    check_count(len(values))
    return {name: found if name in lists else found[0] for name, found in values.items()}


@cache
def _list_fields(params: type[Params]) -> frozenset[str]:
    """Return the names of the parameters that take a list."""
    properties = params.model_json_schema().get("properties", {})
    return frozenset(name for name, schema in properties.items() if schema.get("type") == "array")


def with_booleans_as_text(fields: dict[str, Any], params: type[Params]) -> dict[str, Any]:
    """Return the fields, with `true` for a number as text, which is none: Pydantic reads 1."""
    numbers = _number_fields(params)
    return {
        name: str(value) if isinstance(value, bool) and name in numbers else value
        for name, value in fields.items()
    }


@cache
def _number_fields(params: type[Params]) -> frozenset[str]:
    """Return the names of the parameters that take a number, and no boolean."""
    properties = params.model_json_schema().get("properties", {})
    types = {
        name: {option.get("type") for option in schema.get("anyOf", [schema])}
        for name, schema in properties.items()
    }
    return frozenset(
        name
        for name, found in types.items()
        if found & {"integer", "number"} and "boolean" not in found
    )


def check_count(fields: int) -> None:
    """Raise InvalidInput for more parameters than any model has; each would become an error."""
    if fields > MAX_FIELDS:
        raise InvalidInput(f"send at most {MAX_FIELDS} parameters; these are {fields}")


class _FormParser(MultiPartParser):
    """Starlette's parser, which keeps files in memory here and rejects an incomplete form.

    The memory is bounded by the limit on bodies.
    """

    spool_max_size = sys.maxsize
    complete = False

    def on_end(self) -> None:
        """Note the closing boundary."""
        self.complete = True

    async def parse(self) -> FormData:
        """Read the form. Raises MultiPartException where it is malformed or incomplete."""
        form = await super().parse()
        if not self.complete:
            for file in self._files_to_close_on_error:
                file.close()
            raise MultiPartException("It is cut off.")
        return form


def _from_json(
    body: bytes, inputs: type[Inputs], max_text_length: int
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The pictures, and the texts and parameters."""
    # Base64 has none of these characters: many of them are an attack on the parser, not an image.
    bound = MAX_JSON_PARTS + max_text_length * len(texts_of(inputs))
    if sum(body.count(character) for character in (b",", b"[", b"{")) > bound:
        raise InvalidInput(f"the body has too many parts; {json_example(inputs)}")
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"the body is not valid JSON; {json_example(inputs)}") from error
    if not isinstance(fields, dict):
        raise InvalidInput(json_example(inputs))
    popped = {name: fields.pop(name, None) for name in pictures_of(inputs)}
    given = {name: value for name, value in popped.items() if value is not None}
    required = required_pictures(inputs)
    wrong = tuple(
        name
        for name in pictures_of(inputs)
        if not isinstance(given.get(name, None if name in required else ""), str)
    )
    if wrong:
        fault = (
            f"the object has no text {in_words(wrong)}; " if len(inputs.model_fields) > 1 else ""
        )
        raise InvalidInput(f"{fault}{json_example(inputs)}")
    check_count(len(fields))
    return {name: decode_base64(text, name) for name, text in given.items()}, fields


def decode_base64(text: str, name: str = "image") -> bytes:
    """Decode standard base64, with or without a data-URL prefix and line breaks.

    Raises InvalidImage for anything else.
    """
    prefix = _DATA_URL.match(text, 0, 200)
    payload = text[prefix.end() :] if prefix else text
    try:
        return base64.b64decode(_SPACES.sub("", payload), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidImage(
            f"`{name}` is not valid base64; encode the file as `base64 -w0 photo.jpg` does"
        ) from error


def validate(
    model: AnyModel,
    pictures: dict[str, bytes],
    values: dict[str, Any],
    *,
    max_text_length: int,
    takes_quality: bool = False,
) -> ModelRequest:
    """Validate the texts and the parameters as the model declares them.

    Raises InvalidInput, which names each invalid one and all that exist.
    """
    check_text(values)
    faults: dict[str, str] = {}
    quality, params = QUALITY, None
    if takes_quality and "quality" in values:
        try:
            quality = _QUALITY.validate_python(values.pop("quality"))
        except ValidationError as error:
            faults["quality"] = error.errors(include_url=False)[0]["msg"]
    names = texts_of(model.inputs)
    texts = {name: values.pop(name) for name in names if values.get(name) is not None}
    for name, text in texts.items():
        if isinstance(text, str) and len(text) > max_text_length:
            faults[name] = f"has {len(text):,} characters; send at most {max_text_length:,}"
    for kind, given in ((text_class(model.inputs), texts), (model.params, values)):
        try:
            validated = kind.model_validate(given)
        except ValidationError as error:
            for item in error.errors(include_url=False, include_input=False)[:MAX_FIELDS]:
                faults.setdefault(".".join(map(str, item["loc"]))[:100], item["msg"])
        else:
            params = validated if isinstance(validated, Params) else params
    if faults or params is None:
        known = [*names, *model.params.model_fields, *(["quality"] if takes_quality else [])]
        what = "inputs and parameters" if names else "parameters"
        raise InvalidInput(
            f"correct the {what} named in errors; there are: {', '.join(known) or 'none'}",
            fields=dict(list(faults.items())[:MAX_FIELDS]),
        )
    return ModelRequest({**pictures, **texts}, params, quality)


class _Texts(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


@cache
def text_class(inputs: type[Inputs]) -> type[BaseModel]:
    """The texts of a model's inputs as a class of their own, to validate before anything else."""
    fields: dict[str, Any] = {
        name: (inputs.model_fields[name].annotation, inputs.model_fields[name])
        for name in texts_of(inputs)
    }
    return create_model(f"{inputs.__name__}Texts", __base__=_Texts, **fields)
