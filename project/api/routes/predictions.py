"""POST /v1/models/{model}/predictions, registered for each model with its own schemas."""

from typing import Any

from fastapi import APIRouter, Request, Response

from project.api.dependencies import state_of
from project.api.openapi import problem_responses, request_schema
from project.api.requests.body_advice import JSON
from project.api.requests.disconnect import cancel_on_disconnect, read_with_timeout
from project.api.requests.reader import FIELD, read_inputs
from project.api.routes.raw_route import RawRoute
from project.inference.images.decoding import READABLE
from project.inference.model_queue import Prediction
from project.models.base import Model

PROBLEMS = (400, 408, 413, 415, 422, 500, 503, 504)


def predictions_router(model: Model[Any, Any]) -> APIRouter:
    """Build the route of one quick model, under its literal path."""
    router = APIRouter(tags=[model.name], route_class=RawRoute)

    async def predict(request: Request) -> Response:
        state = state_of(request)
        runner = state["runner"]
        request.state.model = model.name
        with runner.admit(model.name) as slot:
            seconds = state["settings"].body_timeout_seconds
            reading = read_inputs(request, (FIELD,), model.params)
            images, params = await read_with_timeout(seconds, reading)
            prediction = await cancel_on_disconnect(request, slot.predict(images[FIELD], params))
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
            "the JSON object. The header `Server-Timing` has each stage's milliseconds; with a "
            "result cache, `Cache-Status` says whether this result was in it."
        ),
        operation_id=f"predict_{model.name}",
        response_model=model.result,
        responses=problem_responses(*PROBLEMS),
        openapi_extra=request_schema((FIELD,), model.params),
    )
    return router


def headers(prediction: Prediction) -> dict[str, str]:
    """Return `Server-Timing`, and with a cache `Cache-Status` (RFC 9211)."""
    timing = {"Server-Timing": server_timing(prediction.seconds)} if prediction.seconds else {}
    if prediction.cached is None:
        return timing
    return timing | {"Cache-Status": "vitrine; hit" if prediction.cached else "vitrine; fwd=miss"}


def server_timing(seconds: dict[str, float]) -> str:
    """Return the header's value (W3C Server Timing): each stage with its milliseconds."""
    return ", ".join(f"{stage};dur={value * 1000:.2f}" for stage, value in seconds.items())
