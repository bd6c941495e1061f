"""Hooks of schemathesis: what a schema cannot say of a request that is valid.

An image is a picture that can be decoded, and an Idempotency-Key belongs to one request.
"""

import base64
import io
import re
from itertools import count
from typing import Any

import schemathesis
from hypothesis import strategies as st
from PIL import Image
from schemathesis import Case, HookContext

from project.api.jobs.submission import KEY_HEADER, KEY_PATTERN
from project.inference.images.decoding import MEDIA_TYPES

SIDES = (8, 16)  # pixels; 8 is the default of MIN_IMAGE_SIDE
FORMS = {"multipart/form-data", "application/x-www-form-urlencoded"}
BASE64 = "picture-base64"  # a format of this test, for text that is an image

_numbers = count(1)


def picture(kind: str, side: int) -> bytes:
    """The bytes of a picture."""
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((side, side)).convert("RGB").save(buffer, kind)
    return buffer.getvalue()


def pictures(kind: str = "png") -> st.SearchStrategy[bytes]:
    return st.sampled_from([picture(kind, side) for side in SIDES])


schemathesis.openapi.format("binary", pictures())
schemathesis.openapi.format(BASE64, pictures().map(base64.b64encode).map(bytes.decode))
for media_type in MEDIA_TYPES:
    schemathesis.openapi.media_type(media_type, pictures(media_type.removeprefix("image/")))


@schemathesis.hook
def before_load_schema(context: HookContext, raw_schema: dict[str, Any]) -> None:
    """Mark the text that is an image, which the document tells to people alone.

    And leave one way to send a token, as what is sent by one would seem to be ignored as the other.
    """
    for path in raw_schema["paths"].values():
        for operation in path.values():
            operation["security"] = [
                one for one in operation.get("security", []) if "password" not in one
            ]
            for body in operation.get("requestBody", {}).get("content", {}).values():
                for field in body["schema"].get("properties", {}).values():
                    if "base64" in field.get("description", ""):
                        field["format"] = BASE64


@schemathesis.hook
def filter_case(context: HookContext, case: Case) -> bool:
    """Drop what a schema cannot tell from its contrary, and what takes the run's own name away.

    A parameter may be in the query or in the body, so that neither demands it by itself; and an
    empty list is nothing in a form. A file comes as a link or inside JSON, but not as both.
    """
    if case.query and "redirect" in case.query and "inline" in case.query:
        return False
    label = context.operation.label
    if label == "PATCH /v1/users/me" and isinstance(case.body, dict) and "username" in case.body:
        return False
    described = context.operation.definition.raw.get("requestBody", {}).get("content", {})
    if not described:
        return True
    parameters = {item["name"] for item in context.operation.definition.raw.get("parameters", [])}
    if not isinstance(case.body, dict):
        content = described.get(case.media_type) or next(iter(described.values()))
        return not parameters & set(content["schema"].get("required", []))
    required = described[case.media_type]["schema"].get("required", [])
    in_query = [name for name in required if name in case.query and name not in case.body]
    return not in_query and not (case.media_type in FORMS and [] in case.body.values())


@schemathesis.hook
def map_case(context: HookContext, case: Case) -> Case:
    """Make each valid key unique: with a known one, another request is a 422."""
    key = case.headers.get(KEY_HEADER)
    if isinstance(key, str) and re.fullmatch(KEY_PATTERN, key):
        case.headers[KEY_HEADER] = f"{key[:200]}-{next(_numbers)}"
    return case
