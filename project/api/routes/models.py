"""GET /v1/models and GET /v1/models/{model}: what is served, with its schemas."""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from project.api.deps import RunnerDep
from project.api.problems import documented
from project.inference.lane import Lane

router = APIRouter(prefix="/v1/models", tags=["models"])


class ModelSummary(BaseModel):
    """A model in a list."""

    name: str
    summary: str
    version: str
    licence: str = Field(description="SPDX name of the weights' licence.")
    backend: str = Field(description="What runs the net.")
    loaded: bool = Field(description="Whether this worker has the weights.")
    predictions: str = Field(description="Path to POST images to.")


class ModelDetail(ModelSummary):
    """A model with all that a client generator needs."""

    labels: list[str] = Field(description="The closed set of labels; empty where there is none.")
    parameters_schema: dict[str, Any] = Field(description="JSON Schema of the parameters.")
    result_schema: dict[str, Any] = Field(description="JSON Schema of a result.")


class Models(BaseModel):
    """What is served."""

    models: list[ModelSummary]


@router.get("")
async def list_models(runner: RunnerDep) -> Models:
    """All models that this server serves."""
    return Models(models=[ModelSummary(**_summary(lane)) for lane in runner.lanes.values()])


@router.get("/{model}", responses=documented(404))
async def show_model(model: str, runner: RunnerDep, request: Request) -> ModelDetail:
    """One model with its parameters, its result and its labels."""
    lane = runner.lanes.get(model)
    if lane is None:
        raise HTTPException(404)
    request.state.model = model
    return ModelDetail(
        **_summary(lane),
        labels=list(lane.model.labels),
        parameters_schema=lane.model.params.model_json_schema(),
        result_schema=lane.model.result.model_json_schema(),
    )


def _summary(lane: Lane) -> dict[str, Any]:
    model = lane.model
    return {
        "name": model.name,
        "summary": model.summary,
        "version": model.version,
        "licence": model.licence,
        "backend": model.backend,
        "loaded": lane.failure is None,
        "predictions": f"/v1/models/{model.name}/predictions",
    }
