"""OpenAPI: the parameters and bodies of the model routes, and the problems of every route."""

import base64
import io
import re
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, cast

from PIL import Image
from pydantic import BaseModel

from project.api.auth import needs_caller
from project.api.problems import MEDIA_TYPE, Problem
from project.api.requests.body_advice import (
    JSON,
    MULTIPART,
    TEXT,
    URLENCODED,
    accepted_bodies,
    in_words,
    required_pictures,
    takes_raw_picture,
    takes_raw_text,
)
from project.api.requests.reader import text_class
from project.inference.encoding import QUALITY
from project.inference.images.decoding import MEDIA_TYPES, READABLE
from project.inference.samples import SAMPLE_TEXT
from project.models.base import AnyModel
from project.models.base.inputs import fields_of, pictures_of, texts_of

BINARY = {"type": "string", "format": "binary", "description": f"A {READABLE}."}
BINARY_RESULT = {"type": "string", "format": "binary"}
PICTURE_RESULT = {
    "type": "object",
    "properties": {"picture": {"type": "string", "description": "A PNG as data URL."}},
    "required": ["picture"],
}
QUALITY_SCHEMA = {
    "type": "integer",
    "minimum": 1,
    "maximum": 100,
    "default": QUALITY,
    "description": "Of a JPEG or WebP as the answer.",
}
BASE64 = {"type": "string", "description": f"A {READABLE} in base64 or as a data URL."}
FASTAPI_SCHEMAS = ("HTTPValidationError", "ValidationError")  # of FastAPI's own 422
SECURITY_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, or an access token.",
    },
    "password": {
        "type": "oauth2",
        "description": "Signs in with e-mail or username, and renews the access token.",
        "flows": {
            "password": {
                "tokenUrl": "/v1/tokens",
                "scopes": {},
            }
        },
    },
}
AUTH_STATUSES = (401, 403, 429, 503)  # of every operation that needs a caller
LIMIT_FIELDS = {
    "RateLimit-Policy": {
        "description": "The caller's limits, each with its quota `q` in a window of `w` seconds.",
        "schema": {"type": "string", "examples": ['"month";q=10;w=2592000, "rate";q=600;w=60']},
    },
    "RateLimit": {
        "description": "What is left of each, `r`, and the seconds until there is more, `t`.",
        "schema": {"type": "string", "examples": ['"month";r=3;t=86400, "rate";r=599;t=1']},
    },
}
RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds until a request may succeed.",
        "schema": {"type": "integer", "minimum": 1},
    }
}
CHARGED = re.compile(r"/v1/models/[^/]+/(predictions|jobs)")  # what quota and rate are counted for
VALIDATION_ERROR = {"$ref": "#/components/schemas/HTTPValidationError"}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that may answer with problems of these statuses."""
    return {status: {**_problem_response(status), "model": Problem} for status in statuses}


def _problem_response(status: int) -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": HTTPStatus(status).phrase, "content": content}


def corrected(
    make: Callable[[], dict[str, Any]], *, secured: bool = False
) -> Callable[[], dict[str, Any]]:
    """Wrap FastAPI's `openapi`, whose document differs from what is sent in two points.

    It describes problems as plain JSON, and gives every route with a parameter a 422 of its own.
    It has optional parameters as null, which neither a query nor a header can be.

    secured: whether operations need a caller, which it does not know either.
    """

    def openapi() -> dict[str, Any]:
        document = make()
        for operation in [one for item in document["paths"].values() for one in item.values()]:
            _describe_problems(operation["responses"])
            for parameter in operation.get("parameters", []):
                parameter["schema"] = _without_null(parameter["schema"])
        for name in FASTAPI_SCHEMAS:
            document["components"]["schemas"].pop(name, None)
        if secured:
            _describe_security(document)
        return document

    return openapi


def _describe_security(document: dict[str, Any]) -> None:
    """Add the security schemes, and to each operation that needs a caller what it may answer."""
    document["components"]["securitySchemes"] = SECURITY_SCHEMES
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if needs_caller(method.upper(), path):
                operation["security"] = [{name: []} for name in SECURITY_SCHEMES]
                for status in AUTH_STATUSES:
                    operation["responses"].setdefault(str(status), _problem_response(status))
            _describe_limits(operation["responses"], charged=bool(CHARGED.fullmatch(path)))


def _describe_limits(responses: dict[str, Any], *, charged: bool) -> None:
    """Add the header fields of limits. charged: whether successes have them too."""
    for status, response in responses.items():
        if status == "429":
            response["headers"] = RETRY_AFTER | LIMIT_FIELDS
        elif charged and status.startswith("2"):
            response["headers"] = response.get("headers", {}) | LIMIT_FIELDS


def _describe_problems(responses: dict[str, Any]) -> None:
    if _schema_of(responses.get("422", {})) == VALIDATION_ERROR:
        responses["422"] = _problem_response(422)
    for response in responses.values():
        if MEDIA_TYPE in response.get("content", {}):
            response["content"].pop(JSON, None)


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a value that is sent as text, and left out rather than null."""
    options = [option for option in schema.get("anyOf", []) if option.get("type") != "null"]
    if len(options) == len(schema.get("anyOf", [])):
        return schema
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    if rest.get("default", ...) is None:
        del rest["default"]
    return {**options[0], **rest} if len(options) == 1 else {"anyOf": options, **rest}


def _schema_of(response: dict[str, Any]) -> Any:
    """Return the schema of a response in plain JSON."""
    return response.get("content", {}).get(JSON, {}).get("schema")


def picture_responses(offered: Sequence[str], *, is_picture: bool) -> dict[str, Any]:
    """Return the response 200 of a route that answers with pictures or JSON.

    is_picture: whether the result itself is the picture, and not a drawing of it.
    """
    content: dict[str, Any] = {
        media_type: {"schema": BINARY_RESULT} for media_type in offered if media_type != JSON
    }
    if is_picture:
        content[JSON] = {"schema": PICTURE_RESULT}
    return {"description": "The result, as `Accept` asks for it.", "content": content}


def usage(model: AnyModel) -> str:
    """Say in a sentence or two how the inputs of a model are sent."""
    if not model.inputs.model_fields:
        return "Send the parameters in the query, as a form or as a JSON object."
    what = []
    if pictures := pictures_of(model.inputs):
        noun = "the picture" if len(pictures) == 1 else "the pictures"
        what.append(f"{noun} {in_words(pictures)} ({READABLE})")
    if texts := texts_of(model.inputs):
        what.append(f"the text {in_words(texts)}" if len(texts) == 1 else in_words(texts))
    advice = accepted_bodies(model.inputs).removeprefix("send ")
    return (
        f"It takes {' and '.join(what)}: send {advice}; the answer is the same. Parameters stand "
        "in the query, in form fields or in the JSON object, and so may texts."
    )


def request_schema(model: AnyModel, *, takes_quality: bool = False) -> dict[str, Any]:
    """Return the query parameters and the request bodies of a model.

    takes_quality: whether `quality` is a parameter beside the model's own.
    """
    inputs = fields_of(model.inputs)
    pictures = pictures_of(model.inputs)
    needed = required_pictures(model.inputs)
    texts = _property_schemas(text_class(model.inputs))
    parameters = _property_schemas(model.params)
    if takes_quality:
        parameters["quality"] = QUALITY_SCHEMA
    fields = {**texts, **parameters}
    query = [
        {
            "name": name,
            "in": "query",
            "required": False,
            "schema": schema,
            "description": schema.get("description", ""),
        }
        for name, schema in parameters.items()
    ]
    required = [
        *(name for name, field in inputs.items() if field.required),
        *(key for key, field in model.params.model_fields.items() if field.is_required()),
    ]

    def form(picture: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {**dict.fromkeys(pictures, picture), **fields},
            "required": required,
            "additionalProperties": False,
        }

    examples = dict.fromkeys((name for name in texts if inputs[name].required), SAMPLE_TEXT)
    examples |= _examples(fields)
    as_text = {name: _without_null(schema) for name, schema in fields.items()}
    content: dict[str, Any] = {
        JSON: {  # first: of the first alone, Swagger UI shows the example unchanged
            "schema": form(BASE64, fields),
            "example": {**dict.fromkeys(pictures, example_image()), **examples},
        },
        MULTIPART: {"schema": form(BINARY, as_text)},
    }
    if not needed:
        without_files = form(BINARY, as_text)
        for name in pictures:
            del without_files["properties"][name]
        content[URLENCODED] = {"schema": without_files}
    if takes_raw_text(model.inputs):
        (text, *_) = texts
        content[TEXT] = {"schema": texts[text], "example": examples.get(text, "")}
    if takes_raw_picture(model.inputs):
        content |= {media_type: {"schema": BINARY} for media_type in MEDIA_TYPES}
    in_body = bool(needed) or any(inputs[name].required for name in texts)
    return {"parameters": query, "requestBody": {"required": in_body, "content": content}}


def _property_schemas(kind: type[BaseModel]) -> dict[str, Any]:
    """Return name → JSON Schema of each field, with every `$ref` (an enum, say) inlined."""
    schema = kind.model_json_schema()
    definitions = schema.get("$defs", {})

    def inline(value: Any) -> Any:
        if isinstance(value, list):
            return [inline(item) for item in value]
        if not isinstance(value, dict):
            return value
        definition = definitions.get(value.get("$ref", "").removeprefix("#/$defs/"), {})
        rest = {key: item for key, item in value.items() if key != "$ref"}
        return {key: inline(item) for key, item in (definition | rest).items()}

    return cast("dict[str, Any]", inline(schema.get("properties", {})))


def _examples(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the example of each text and parameter: its default, else the first example."""
    candidates = {name: [*schema.get("examples", [])] for name, schema in fields.items()}
    for name, schema in fields.items():
        if "default" in schema:
            candidates[name].insert(0, schema["default"])
    return {name: values[0] for name, values in candidates.items() if values}


def example_image() -> str:
    """Return a small picture as a data URL, for the documentation's working example."""
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((32, 32)).convert("RGB").save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
