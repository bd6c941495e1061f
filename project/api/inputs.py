"""The three ways a picture comes in: multipart, a raw image/* body, JSON with base64.

Whichever it is, what leaves here is the same: the image's bytes and the validated parameters.
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

from pydantic import ValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from project.errors import InvalidImage, InvalidInput, UnsupportedMediaType
from project.models._base import Params

FIELD = "image"
MULTIPART = "multipart/form-data"
JSON = "application/json"
MOST_FIELDS = 32
MOST_JSON_PARTS = 10_000
CHARSETS = {b"utf-8", b"us-ascii", b"iso-8859-1"}  # punycode would decode 1 MB for minutes
JSON_ADVICE = f'send a JSON object such as {{"{FIELD}": "<base64>"}}'
FORM_ADVICE = f"with curl: -F {FIELD}=@photo.jpg"
_DATA_URL = re.compile(r"data:[\w.+/-]*(;[\w=.+-]+)*;base64,", re.ASCII)
_SPACES = re.compile(r"\s+")
WAYS = f"send {MULTIPART} with a file `{FIELD}`, a raw image/* body, or {JSON} with base64"


async def read_image(request: Request, params: type[Params]) -> tuple[bytes, Params]:
    """Take the image and the parameters out of a request.

    Parameters stand in the query string, in form fields or beside the image in the JSON object;
    what the body says wins. Raises InvalidInput, InvalidImage or UnsupportedMediaType.
    """
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    values = _once(request.query_params.multi_items(), params)
    if media_type == MULTIPART:
        data, fields = await _from_form(request, params)
        values |= fields
    elif media_type == JSON:
        body = await request.body()
        data, fields = await asyncio.to_thread(_from_json, body)
        values |= fields
    elif media_type.startswith("image/") or media_type == "application/octet-stream":
        data = await request.body()
    else:
        raise UnsupportedMediaType(f"{WAYS}; the Content-Type is {media_type[:100] or 'missing'}")
    return data, validate(params, values)


async def _from_form(request: Request, params: type[Params]) -> tuple[bytes, dict[str, Any]]:
    _, options = parse_options_header(request.headers["content-type"])
    if options.get(b"charset", b"utf-8").lower() not in CHARSETS:
        raise InvalidInput("the form's charset must be utf-8; leave it out of the Content-Type")
    try:
        async with aclosing(request.stream()) as stream:
            form = await _Form(request.headers, stream, max_files=1, max_fields=MOST_FIELDS).parse()
    except MultiPartException as error:
        fault = error.message.rstrip(".")
        raise HTTPException(400, f"the form cannot be read: {fault}; {FORM_ADVICE}") from error
    try:
        fields = _once(form.multi_items(), params)
        upload = fields.pop(FIELD, None)
        data = await upload.read() if isinstance(upload, UploadFile) else None
    finally:
        await form.close()
    if data is None:
        raise InvalidImage(f"the form has no file named `{FIELD}`; {FORM_ADVICE}")
    return data, fields


def _once(items: list[tuple[str, Any]], params: type[Params]) -> dict[str, Any]:
    """Name → value, or the list of values where the model takes one.

    Raises InvalidInput where any other name comes twice: which one was meant?
    """
    values: dict[str, list[Any]] = {}
    for name, value in items:
        values.setdefault(name, []).append(value)
    lists = _list_fields(params)
    twice = [name[:100] for name, given in values.items() if len(given) > 1 and name not in lists]
    if twice:
        fields = dict.fromkeys(twice[:MOST_FIELDS], "sent more than once")
        raise InvalidInput("send each parameter once", fields=fields)
    _check_count(len(values))
    return {name: given if name in lists else given[0] for name, given in values.items()}


@cache
def _list_fields(params: type[Params]) -> frozenset[str]:
    """Names of the parameters that take a list."""
    properties = params.model_json_schema().get("properties", {})
    return frozenset(name for name, schema in properties.items() if schema.get("type") == "array")


def _check_count(fields: int) -> None:
    """Raise InvalidInput for more parameters than any model has; each would cost an error."""
    if fields > MOST_FIELDS:
        raise InvalidInput(f"send at most {MOST_FIELDS} parameters; these are {fields}")


class _Form(MultiPartParser):
    """Starlette's, but in memory alone, as the limit on bodies allows, and never half a form."""

    spool_max_size = sys.maxsize
    ended = False

    def on_end(self) -> None:
        """Note that the closing boundary came."""
        self.ended = True

    async def parse(self) -> FormData:
        """Read the form. Raises MultiPartException for one that is malformed or cut off."""
        form = await super().parse()
        if not self.ended:
            for file in self._files_to_close_on_error:
                file.close()
            raise MultiPartException("It is cut off.")
        return form


def _from_json(body: bytes) -> tuple[bytes, dict[str, Any]]:
    # Base64 has none of these characters: many of them are a bomb for the parser, not a picture.
    if sum(body.count(character) for character in (b",", b"[", b"{")) > MOST_JSON_PARTS:
        raise InvalidInput(f"the body has too many parts; {JSON_ADVICE}")
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"the body is not valid JSON; {JSON_ADVICE}") from error
    if not isinstance(fields, dict) or not isinstance(fields.get(FIELD), str):
        raise InvalidInput(JSON_ADVICE)
    _check_count(len(fields))
    return decode_base64(fields.pop(FIELD)), fields


def decode_base64(text: str) -> bytes:
    """Decode standard base64, with or without a data-URL prefix and line breaks.

    Raises InvalidImage where it is neither.
    """
    prefix = _DATA_URL.match(text, 0, 200)
    payload = text[prefix.end() :] if prefix else text
    try:
        return base64.b64decode(_SPACES.sub("", payload), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidImage(
            f"`{FIELD}` is not valid base64; encode the file as `base64 -w0 photo.jpg` does"
        ) from error


def validate(params: type[Params], values: dict[str, Any]) -> Params:
    """The parameters as the model declares them.

    Raises InvalidInput that names each wrong one, and all that there are.
    """
    try:
        return params.model_validate(values)
    except ValidationError as error:
        faults = {
            ".".join(map(str, item["loc"]))[:100]: item["msg"]
            for item in error.errors(include_url=False, include_input=False)[:MOST_FIELDS]
        }
        known = ", ".join(params.model_fields) or "none"
        raise InvalidInput(
            f"correct the parameters named in errors; there are: {known}", fields=faults
        ) from error
