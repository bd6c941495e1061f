"""POST /v1/models/{model}/predictions, registered for each model with its own schemas."""

import base64
import io
from collections.abc import Callable, Coroutine
from typing import Any, cast

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from PIL import Image

from project.api.deps import Services
from project.api.inputs import FIELD, JSON, MULTIPART, read_image
from project.api.patience import unless_gone, within
from project.api.problems import documented
from project.inference.images import MEDIA_TYPES, READABLE
from project.inference.lane import Prediction
from project.models._base import Model, Params

PROBLEMS = (400, 408, 413, 415, 422, 500, 503, 504)


class _Direct(APIRoute):
    """A route whose endpoint is given the request and nothing else, and answers for itself."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint, without FastAPI's solving of dependencies and its serialisation."""
        return self.endpoint


def predictions_router(model: Model[Any, Any]) -> APIRouter:
    """The routes of one quick model under its literal path."""
    router = APIRouter(tags=[model.name], route_class=_Direct)

    async def predict(request: Request) -> Response:
        services: Services = request.app.state.services
        runner = services.runner
        request.state.model = model.name
        with runner.admit(model.name) as place:
            seconds = services.settings.body_timeout_seconds
            data, params = await within(seconds, read_image(request, model.params))
            prediction = await unless_gone(request, runner.run(model.name, place, data, params))
        return Response(
            prediction.result.model_dump_json(), media_type=JSON, headers=headers(prediction)
        )

    router.add_api_route(
        f"/v1/models/{model.name}/predictions",
        predict,
        methods=["POST"],
        summary=model.summary,
        description=(
            f"{model.summary}\n\nSend one image ({READABLE}) in any of the three ways; the answer "
            "is the same. Parameters stand in the query, in form fields or beside the image in "
            "the JSON object. The header `Server-Timing` tells each stage's milliseconds; where "
            "results are kept, `Cache-Status` tells whether this one was."
        ),
        operation_id=f"predict_{model.name}",
        response_model=model.result,
        responses=documented(*PROBLEMS),
        openapi_extra=_takes(model),
    )
    return router


def headers(prediction: Prediction) -> dict[str, str]:
    """How the result came about: `Server-Timing`, and `Cache-Status` (RFC 9211) with a cache."""
    timing = {"Server-Timing": server_timing(prediction.seconds)} if prediction.seconds else {}
    if prediction.cached is None:
        return timing
    return timing | {"Cache-Status": "vitrine; hit" if prediction.cached else "vitrine; fwd=miss"}


def server_timing(seconds: dict[str, float]) -> str:
    """The header's value (W3C Server Timing): each stage with its milliseconds."""
    return ", ".join(f"{stage};dur={value * 1000:.2f}" for stage, value in seconds.items())


def _takes(model: Model[Any, Any]) -> dict[str, Any]:
    """OpenAPI for the query parameters and the three bodies."""
    fields = _parameter_schemas(model.params)
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
    binary = {"type": "string", "format": "binary", "description": f"A {READABLE}."}
    base64_image = {"type": "string", "description": f"A {READABLE} in base64 or as a data URL."}
    content: dict[str, Any] = {
        JSON: {  # first, since Swagger UI shows the example of the first alone as it stands
            "schema": _object({FIELD: base64_image, **fields}),
            "example": {FIELD: example_image(), **_defaults(fields)},
        },
        MULTIPART: {"schema": _object({FIELD: binary, **fields})},
    }
    content |= {media_type: {"schema": binary} for media_type in MEDIA_TYPES}
    return {"parameters": query, "requestBody": {"required": True, "content": content}}


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


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": [FIELD],
        "additionalProperties": False,
    }


def _defaults(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: schema["default"] for name, schema in fields.items() if "default" in schema}


def example_image() -> str:
    """A small picture as a data URL, for the documentation's working example."""
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((32, 32)).convert("RGB").save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
