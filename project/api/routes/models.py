"""GET /v1/models and GET /v1/models/{model}: the models that are served, with their schemas."""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from project.api.dependencies import StateDep
from project.api.jobs.request import images_of
from project.api.openapi import problem_responses
from project.api.requests.body_advice import JSON
from project.api.state import State
from project.models.base import AnyModel, Model

PNG = "image/png"

router = APIRouter(prefix="/v1/models", tags=["models"])


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
    predictions: str | None = Field(
        description="Path to POST images to; null where it takes too long to be waited for."
    )
    jobs: str | None = Field(description="Path to POST jobs to; null where jobs are off.")
    images: list[str] = Field(description="Names of the images it takes.")


class ModelDetail(ModelSummary):
    """A model with all that a client generator needs."""

    labels: list[str] = Field(description="The closed set of labels; empty where there is none.")
    parameters_schema: dict[str, Any] = Field(description="JSON Schema of the parameters.")
    result_media_type: str = Field(description="What a result is sent as.")
    result_schema: dict[str, Any] | None = Field(
        description="JSON Schema of a result; null where it is a picture."
    )


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
    result = found.result if issubclass(found.result, BaseModel) else None
    return ModelDetail(
        **_summary(found, state),
        labels=list(found.labels) if isinstance(found, Model) else [],
        parameters_schema=found.params.model_json_schema(),
        result_media_type=JSON if result else PNG,
        result_schema=result.model_json_schema() if result else None,
    )


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
        "predictions": f"{path}/predictions" if queue else None,
        "jobs": f"{path}/jobs" if state["settings"].jobs else None,
        "images": list(images_of(model)),
    }
