"""OpenAPI for what a model takes: its parameters in the query, and every body it can come in."""

import base64
import io
from typing import Any, cast

from PIL import Image

from project.api.requests.messages import JSON, MULTIPART, URLENCODED, Names
from project.inference.images.decoding import MEDIA_TYPES, READABLE
from project.models.base import Params

BINARY = {"type": "string", "format": "binary", "description": f"A {READABLE}."}
BASE64 = {"type": "string", "description": f"A {READABLE} in base64 or as a data URL."}


def takes(names: Names, params: type[Params]) -> dict[str, Any]:
    """The query parameters and the bodies of a model that takes images of these names."""
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

    def form(image: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {**dict.fromkeys(names, image), **fields},
            "required": required,
            "additionalProperties": False,
        }

    content: dict[str, Any] = {
        JSON: {  # first, since Swagger UI shows the example of the first alone as it stands
            "schema": form(BASE64),
            "example": {**dict.fromkeys(names, example_image()), **_defaults(fields)},
        },
        MULTIPART: {"schema": form(BINARY)},
    }
    if not names:
        content[URLENCODED] = {"schema": form(BINARY)}
    elif len(names) == 1:
        content |= {media_type: {"schema": BINARY} for media_type in MEDIA_TYPES}
    return {"parameters": query, "requestBody": {"required": bool(names), "content": content}}


def _parameter_schemas(params: type[Params]) -> dict[str, Any]:
    """Name → JSON Schema of each parameter, with what it refers to (an enum, say) put in place."""
    schema = params.model_json_schema()
    definitions = schema.get("$defs", {})

    def inline(value: Any) -> Any:
        if isinstance(value, list):
            return [inline(item) for item in value]
        if not isinstance(value, dict):
            return value
        referred = definitions.get(value.get("$ref", "").removeprefix("#/$defs/"), {})
        rest = {key: item for key, item in value.items() if key != "$ref"}
        return {key: inline(item) for key, item in (referred | rest).items()}

    return cast("dict[str, Any]", inline(schema.get("properties", {})))


def _defaults(fields: dict[str, Any]) -> dict[str, Any]:
    """What an example says of each parameter: its default, or else the first of its examples."""
    told = {name: [*schema.get("examples", [])] for name, schema in fields.items()}
    for name, schema in fields.items():
        if "default" in schema:
            told[name].insert(0, schema["default"])
    return {name: values[0] for name, values in told.items() if values}


def example_image() -> str:
    """A small picture as a data URL, for the documentation's working example."""
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((32, 32)).convert("RGB").save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
