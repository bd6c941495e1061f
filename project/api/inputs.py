"""The three ways a picture comes in: multipart, a raw image/* body, JSON with base64.

Whichever it is, what leaves here is the same: the image's bytes and the validated parameters.
"""

import asyncio
import base64
import binascii
import json
import re
from typing import Any

from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.requests import Request

from project.errors import InvalidImage, InvalidInput, UnsupportedMediaType
from project.models._base import Params

FIELD = "image"
MULTIPART = "multipart/form-data"
JSON = "application/json"
MOST_FIELDS = 32
_DATA_URL = re.compile(r"data:[\w.+/-]*(;[\w=.+-]+)*;base64,", re.ASCII)
_SPACES = re.compile(r"\s+")
WAYS = f"send {MULTIPART} with a file `{FIELD}`, a raw image/* body, or {JSON} with base64"


async def read_image(request: Request, params: type[Params]) -> tuple[bytes, Params]:
    """Take the image and the parameters out of a request.

    Parameters stand in the query string, in form fields or beside the image in the JSON object;
    what the body says wins. Raises InvalidInput, InvalidImage or UnsupportedMediaType.
    """
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    values: dict[str, Any] = dict(request.query_params)
    if media_type == MULTIPART:
        data, fields = await _from_form(request)
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


async def _from_form(request: Request) -> tuple[bytes, dict[str, Any]]:
    async with request.form(max_files=1, max_fields=MOST_FIELDS) as form:
        fields: dict[str, Any] = dict(form)
        upload = fields.pop(FIELD, None)
        if isinstance(upload, UploadFile):
            return await upload.read(), fields
    raise InvalidImage(f"the form has no file named `{FIELD}`; with curl: -F {FIELD}=@photo.jpg")


def _from_json(body: bytes) -> tuple[bytes, dict[str, Any]]:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("the body is not valid JSON") from error
    if not isinstance(fields, dict) or not isinstance(fields.get(FIELD), str):
        raise InvalidInput(f'send a JSON object such as {{"{FIELD}": "<base64>"}}')
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
