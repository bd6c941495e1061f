"""OpenAPI: the parameters and bodies of the model routes, and the problems of every route."""

import base64
import io
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast

from PIL import Image

from project.api.problems import MEDIA_TYPE, Problem
from project.api.requests.body_advice import JSON, MULTIPART, URLENCODED, Names
from project.inference.images.decoding import MEDIA_TYPES, READABLE
from project.models.base import Params

BINARY = {"type": "string", "format": "binary", "description": f"A {READABLE}."}
BASE64 = {"type": "string", "description": f"A {READABLE} in base64 or as a data URL."}
FASTAPI_SCHEMAS = ("HTTPValidationError", "ValidationError")  # of FastAPI's own 422
VALIDATION_ERROR = {"$ref": "#/components/schemas/HTTPValidationError"}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that may answer with problems of these statuses."""
    return {status: {**_problem_response(status), "model": Problem} for status in statuses}


def _problem_response(status: int) -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": HTTPStatus(status).phrase, "content": content}


def corrected(make: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """Wrap FastAPI's `openapi`, whose document differs from what is sent in two points.

    It describes problems as plain JSON, and gives every route with a parameter a 422 of its own.
    It has optional parameters as null, which neither a query nor a header can be.
    """

    def openapi() -> dict[str, Any]:
        document = make()
        for operation in [one for item in document["paths"].values() for one in item.values()]:
            _describe_problems(operation["responses"])
            for parameter in operation.get("parameters", []):
                parameter["schema"] = _without_null(parameter["schema"])
        for name in FASTAPI_SCHEMAS:
            document["components"]["schemas"].pop(name, None)
        return document

    return openapi


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


def request_schema(names: Names, params: type[Params]) -> dict[str, Any]:
    """Return the query parameters and the request bodies of a model.

    names: of the images that it takes.
    """
    fields = _parameter_schemas(params)
    query = [
        {
            "name": name,
            "in": "query",
            "required": False,
            "schema": schema,
            "description": schema.get("description", ""),
        }
        for name, schema in fields.items()
    ]
    required = [*names, *(key for key, field in params.model_fields.items() if field.is_required())]

    def form(image: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {**dict.fromkeys(names, image), **fields},
            "required": required,
            "additionalProperties": False,
        }

    as_text = form(BINARY, {name: _without_null(schema) for name, schema in fields.items()})
    content: dict[str, Any] = {
        JSON: {  # first: of the first alone, Swagger UI shows the example unchanged
            "schema": form(BASE64, fields),
            "example": {**dict.fromkeys(names, example_image()), **_defaults(fields)},
        },
        MULTIPART: {"schema": as_text},
    }
    if not names:
        content[URLENCODED] = {"schema": as_text}
    elif len(names) == 1:
        content |= {media_type: {"schema": BINARY} for media_type in MEDIA_TYPES}
    return {"parameters": query, "requestBody": {"required": bool(names), "content": content}}


def _parameter_schemas(params: type[Params]) -> dict[str, Any]:
    """Return name → JSON Schema of each parameter, with every `$ref` (an enum, say) inlined."""
    schema = params.model_json_schema()
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


def _defaults(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the example value of each parameter: its default, else the first of its examples."""
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
