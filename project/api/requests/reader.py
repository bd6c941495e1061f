"""Reads a model's input from a request: multipart, a raw image/* body, or JSON with base64.

Each of them becomes the same: the bytes of the images and the validated parameters.
"""

import asyncio
import base64
import binascii
import json
import re
import sys
from contextlib import aclosing
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

from pydantic import ValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from project.api.requests.body_advice import (
    JSON,
    MULTIPART,
    URLENCODED,
    Names,
    accepted_bodies,
    curl_example,
    in_words,
    json_example,
)
from project.api.requests.unicode import check_text
from project.errors import InvalidImage, InvalidInput, UnsupportedMediaType
from project.models.base import Params

FIELD = "image"  # the name of the image where a model takes one without a name
MAX_FIELDS = 32
MAX_JSON_PARTS = 10_000
CHARSETS = {b"utf-8", b"us-ascii", b"iso-8859-1"}  # punycode would decode 1 MB for minutes
_DATA_URL = re.compile(r"data:[\w.+/-]*(;[\w=.+-]+)*;base64,", re.ASCII)
_SPACES = re.compile(r"\s+")


async def read_inputs(
    request: Request, names: Names, params: type[Params]
) -> tuple[dict[str, bytes], Params]:
    """Read the images of these names, and the parameters, from a request.

    Parameters come from the query string, form fields or the JSON object; those of the body
    override those of the query, which must be valid all the same. Raises InvalidInput,
    InvalidImage or UnsupportedMediaType.
    """
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    raw = media_type.startswith("image/") or media_type == "application/octet-stream"
    values = _unique(request.query_params.multi_items(), params)
    images: dict[str, bytes] = {}
    fields: dict[str, Any] = {}
    if media_type == MULTIPART:
        images, fields = await _from_form(request, names, params)
    elif media_type == JSON:
        body = await request.body()
        images, fields = await asyncio.to_thread(_from_json, body, names)
        fields = _with_booleans_as_text(fields, params)
    elif raw and len(names) == 1:
        images[names[0]] = await request.body()
    elif media_type == URLENCODED and not names:
        fields = _unique(_from_text(await request.body()), params)
    elif media_type or names or await request.body():  # else the query has all
        given = media_type[:100] or "missing"
        raise UnsupportedMediaType(f"{accepted_bodies(names)}; the Content-Type is {given}")
    if values.keys() & fields.keys():
        validate(params, fields | values)
    return images, validate(params, values | fields)


async def _from_form(
    request: Request, names: Names, params: type[Params]
) -> tuple[dict[str, bytes], dict[str, Any]]:
    _, options = parse_options_header(request.headers["content-type"])
    if options.get(b"charset", b"utf-8").lower() not in CHARSETS:
        raise InvalidInput("the form's charset must be utf-8; leave it out of the Content-Type")
    try:
        async with aclosing(request.stream()) as stream:
            parser = _FormParser(
                request.headers, stream, max_files=len(names), max_fields=MAX_FIELDS
            )
            form = await parser.parse()
    except MultiPartException as error:
        fault = error.message.rstrip(".")
        advice = curl_example(names)
        raise HTTPException(400, f"the form cannot be read: {fault}; {advice}") from error
    try:
        fields = _unique(form.multi_items(), params)
        parts = {name: fields.pop(name, None) for name in names}
        images = {
            name: await part.read() for name, part in parts.items() if isinstance(part, UploadFile)
        }
    finally:
        await form.close()
    missing = tuple(name for name in names if name not in images)
    if missing:
        files = "file" if len(missing) == 1 else "files"
        raise InvalidImage(
            f"the form has no {files} named {in_words(missing)}; {curl_example(names)}"
        )
    return images, fields


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


def _unique(items: list[tuple[str, Any]], params: type[Params]) -> dict[str, Any]:
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
    _check_count(len(values))
    return {name: found if name in lists else found[0] for name, found in values.items()}


@cache
def _list_fields(params: type[Params]) -> frozenset[str]:
    """Return the names of the parameters that take a list."""
    properties = params.model_json_schema().get("properties", {})
    return frozenset(name for name, schema in properties.items() if schema.get("type") == "array")


def _with_booleans_as_text(fields: dict[str, Any], params: type[Params]) -> dict[str, Any]:
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


def _check_count(fields: int) -> None:
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


def _from_json(body: bytes, names: Names) -> tuple[dict[str, bytes], dict[str, Any]]:
    # Base64 has none of these characters: many of them are an attack on the parser, not an image.
    if sum(body.count(character) for character in (b",", b"[", b"{")) > MAX_JSON_PARTS:
        raise InvalidInput(f"the body has too many parts; {json_example(names)}")
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"the body is not valid JSON; {json_example(names)}") from error
    if not isinstance(fields, dict):
        raise InvalidInput(json_example(names))
    missing = tuple(name for name in names if not isinstance(fields.get(name), str))
    if missing:
        fault = f"the object has no text {in_words(missing)}; " if len(names) > 1 else ""
        raise InvalidInput(f"{fault}{json_example(names)}")
    _check_count(len(fields))
    return {name: decode_base64(fields.pop(name), name) for name in names}, fields


def decode_base64(text: str, name: str = FIELD) -> bytes:
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


def validate(params: type[Params], values: dict[str, Any]) -> Params:
    """Validate the parameters as the model declares them.

    Raises InvalidInput, which names each invalid parameter and all that exist.
    """
    check_text(values)
    try:
        return params.model_validate(values)
    except ValidationError as error:
        faults = {
            ".".join(map(str, item["loc"]))[:100]: item["msg"]
            for item in error.errors(include_url=False, include_input=False)[:MAX_FIELDS]
        }
        known = ", ".join(params.model_fields) or "none"
        raise InvalidInput(
            f"correct the parameters named in errors; there are: {known}", fields=faults
        ) from error
