"""What operators and their machines ask: /health, /ready, /metadata, /metrics."""

import asyncio
import platform
import time
from functools import partial
from typing import Literal

import torch
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from project import __version__
from project.api import auth
from project.api.dependencies import Services, ServicesDep
from project.api.problems import documented
from project.api.readiness import Check
from project.api.routes.models import ModelSummary, list_models
from project.api.scrape import observed_now
from project.jobs.queue import QueueState
from project.observability.metrics import COLLECT_SECONDS, MULTIPROC_FILES
from project.observability.multiprocess import exposition
from project.resources import size

router = APIRouter(tags=["operations"])
metrics_router = APIRouter(tags=["operations"])


class Health(BaseModel):
    """The process lives."""

    status: str = "ok"


class Readiness(BaseModel):
    """Whether requests should come here, and what speaks against it."""

    status: str = Field(description="`ready`, or `not ready` with status 503.")
    checks: dict[str, Check]


class Metadata(BaseModel):
    """What runs here."""

    version: str
    revision: str
    environment: str
    workers: int = Field(description="Workers that should be serving.")
    python: str
    torch: str
    models: list[ModelSummary]
    queue: QueueState | None = Field(
        description="Messages of jobs, as the broker counts them; null without jobs or broker."
    )


@router.get(
    "/health", operation_id="health"
)  # describes what the next line serves: HEAD may not have the same id
@router.api_route("/health", methods=["GET", "HEAD"], include_in_schema=False)
async def health() -> Health:
    """The process lives. It never looks outward, so a broken neighbour restarts nothing."""
    return Health()


@router.get(
    "/ready",
    operation_id="ready",
    responses={503: {"model": Readiness, "description": "Not ready; `checks` names what fails."}},
)
@router.api_route(
    "/ready", methods=["GET", "HEAD"], include_in_schema=False, response_model_exclude_none=True
)
async def ready(
    services: ServicesDep, response: Response, scope: Literal["all", "instance"] = "all"
) -> Readiness:
    """Whether requests should be sent here: models loaded, and no shutdown begun.

    Where jobs are on, their database, storage and broker must answer too; with `scope=instance`
    they are not asked. All instances share them, so a balancer that took each one out for their
    sake would leave nobody to answer, and predictions need none of them.
    """
    checks = own(services)
    if scope == "all":
        checks |= await neighbours(services)
    good = all(check.ok for check in checks.values())
    response.status_code = 200 if good else 503
    return Readiness(status="ready" if good else "not ready", checks=checks)


def own(services: Services) -> dict[str, Check]:
    """What this instance has to have for itself: its models, and no end in sight."""
    checks = {}
    for name, queue in services.runner.queues.items():
        started = time.perf_counter()
        detail = None
        if queue.failure:
            detail = "not loaded: the log event model_load_failed says why"
        elif queue.is_stuck():
            detail = "its forward pass hangs: Gunicorn will replace this worker"
        checks[f"model:{name}"] = Check(
            ok=detail is None,
            latency_seconds=round(time.perf_counter() - started, 6),
            detail=detail,
        )
    if services.draining:
        checks["shutdown"] = Check(ok=False, latency_seconds=0, detail="shutdown has begun")
    return checks


async def neighbours(services: Services) -> dict[str, Check]:
    """Ask, all at once, those that a job needs; none is waited for beyond its patience."""
    if services.desk is None:
        return {}
    probes = services.desk.probes
    answers = await asyncio.gather(*(probe.check() for probe in probes.values()))
    return dict(zip(probes, answers, strict=True))


@router.get("/metadata")
async def metadata(services: ServicesDep) -> Metadata:
    """Version, revision, models and the state of the queue."""
    settings = services.settings
    return Metadata(
        version=__version__,
        revision=settings.revision,
        environment=settings.environment,
        workers=size(settings).workers,
        python=platform.python_version(),
        torch=torch.__version__,
        models=(await list_models(services)).models,
        queue=await services.desk.queue_state() if services.desk else None,
    )


@metrics_router.get("/metrics", response_class=Response, responses=documented(401))
async def metrics(request: Request, services: ServicesDep) -> Response:
    """The metrics of all workers, in the Prometheus text format."""
    if (token := services.settings.metrics_token) is not None:
        auth.demand_to_scrape(request, token)
    directory = services.settings.prometheus_multiproc_dir
    observe = partial(observed_now, await neighbours(services), services.runner.drift)
    text, seconds, files = await run_in_threadpool(exposition, directory, observe)
    COLLECT_SECONDS.observe(seconds)
    MULTIPROC_FILES.set(files)
    return Response(text, media_type=CONTENT_TYPE_LATEST)
