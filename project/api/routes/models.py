"""GET /v1/models and GET /v1/models/{model}: the models that are served, with their schemas."""

from dataclasses import asdict
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from project.api.dependencies import StateDep
from project.api.openapi import problem_responses
from project.api.state import State
from project.inference.encoding import media_types
from project.inference.images.decoding import MEDIA_TYPES
from project.models.base import AnyModel
from project.models.base.inputs import InputField, fields_of
from project.models.base.results import kinds_of

router = APIRouter(prefix="/v1/models", tags=["models"])


class InputView(BaseModel):
    """One input of a model."""

    name: str
    kind: Literal["image", "text"]
    required: bool
    description: str
    useful_side: int | None = Field(
        description="Of a picture: pixels of the shorter side that the model can use; null: all."
    )
    max_length: int | None = Field(description="Of a text: characters.")
    examples: list[str] = Field(description="Of a text.")


class ResultSummary(BaseModel):
    """What a model answers with."""

    kinds: list[str] = Field(
        description="What is known of it: class, box, point, label, reason or picture; else empty."
    )
    media_types: list[str] = Field(description="What Accept may ask for; the first is usual.")


class ModelSummary(BaseModel):
    """A model in a list."""

    name: str
    summary: str
    version: str
    licence: str = Field(description="SPDX name of the weights' licence.")
    backend: str = Field(description="What runs the net.")
    loaded: bool | None = Field(
        description="Whether this worker has the weights; null where the workers of jobs alone do."
    )
    background: bool = Field(
        description="Whether it takes longer than a client should wait: it runs as a job alone."
    )
    predictions: str = Field(
        description="Path to POST the inputs to; with `Prefer: respond-async` as a job."
    )
    jobs: str | None = Field(description="Path to POST jobs to; null where jobs are off.")
    stream: str | None = Field(
        description="Path of the WebSocket for a live stream; null of a model in the background."
    )
    inputs: list[InputView] = Field(description="What it takes; empty: parameters alone.")
    result: ResultSummary


class Result(ResultSummary):
    """What a model answers with, and its schema."""

    json_schema: dict[str, Any] | None = Field(
        alias="schema", description="JSON Schema of a result; null where it is a picture."
    )


class Limits(BaseModel):
    """Bounds on a request."""

    body_bytes: int
    image_pixels: int
    image_types: list[str]
    text_characters: int


class ModelDetail(ModelSummary):
    """A model with all that a client generator needs."""

    labels: list[str] = Field(description="The closed set of labels; empty where there is none.")
    parameters_schema: dict[str, Any] = Field(description="JSON Schema of the parameters.")
    result: Result
    draws: bool = Field(description="Whether Accept may ask for a drawing of the result.")
    limits: Limits


class Models(BaseModel):
    """What is served."""

    models: list[ModelSummary]


@router.get("")
async def list_models(state: StateDep) -> Models:
    """All models that this server serves."""
    models = state["models"].values()
    return Models(models=[ModelSummary(**_summary(model, state)) for model in models])


@router.get("/{model}", responses=problem_responses(404))
async def show_model(model: str, state: StateDep, request: Request) -> ModelDetail:
    """One model with its parameters, its result and its labels."""
    found = state["models"].get(model)
    if found is None:
        raise HTTPException(404)
    request.state.model = model
    settings = state["settings"]
    fields = _summary(found, state)
    is_model = issubclass(found.result, BaseModel)
    schema = found.result.model_json_schema() if is_model else None
    return ModelDetail(
        **{**fields, "result": Result(**fields["result"].model_dump(), schema=schema)},
        labels=list(found.labels),
        parameters_schema=found.params.model_json_schema(),
        draws=found.can_draw(),
        limits=Limits(
            body_bytes=settings.max_body_bytes,
            image_pixels=settings.max_image_pixels,
            image_types=list(MEDIA_TYPES),
            text_characters=settings.max_text_length,
        ),
    )


def _input(field: InputField, state: State) -> InputView:
    """Return the view of an input; a text is bounded by the server where its model has no bound."""
    longest = state["settings"].max_text_length
    values = asdict(field)
    if field.kind == "text":
        values["max_length"] = min(field.max_length or longest, longest)
    return InputView(**values)


def _summary(model: AnyModel, state: State) -> dict[str, Any]:
    path = f"/v1/models/{model.name}"
    queue = state["runner"].queues.get(model.name)
    return {
        "name": model.name,
        "summary": model.summary,
        "version": model.version,
        "licence": model.licence,
        "backend": model.backend,
        "loaded": queue.failure is None if queue else None,
        "background": model.background,
        "predictions": f"{path}/predictions",
        "jobs": f"{path}/jobs" if state["settings"].jobs else None,
        "stream": None if model.background else f"{path}/stream",
        "inputs": [_input(field, state) for field in fields_of(model.inputs).values()],
        "result": ResultSummary(kinds=kinds_of(model.result), media_types=list(media_types(model))),
    }
