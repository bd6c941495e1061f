"""Routes for operators and their tools: /health, /ready, /metadata, /metrics."""

import asyncio
import platform
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import Literal, Self

from fastapi import APIRouter, Request, Response
from prometheus_client import Metric
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from project import __version__
from project.api import auth
from project.api.dependencies import ReadinessDep, RunnerDep, SettingsDep, StateDep
from project.api.openapi import problem_responses
from project.api.readiness import Readiness, readiness_metrics
from project.api.routes.models import ModelSummary, list_models
from project.api.state import State
from project.jobs.queue import QueueState
from project.observability.exposition import CONTENT_TYPE, expose
from project.observability.metrics import (
    COLLECT_SECONDS,
    LIMIT_STORE_UP,
    MULTIPROC_FILES,
    observed,
)
from project.resources import size
from project.settings import Settings

QUEUES_SECONDS = 1.0  # that the broker has to count: the page waits for this answer

router = APIRouter(tags=["operations"])
metrics_router = APIRouter(tags=["operations"])


class Health(BaseModel):
    """The process lives."""

    status: str = "ok"


class AccountsView(BaseModel):
    """What a client has to know before it signs in."""

    registration: Literal["open", "invitation", "closed"]
    documents: list[str] = Field(
        description="National documents, one of which registration takes; names of python-stdnum."
    )
    document_required: bool
    mails_reset_links: bool = Field(description="Whether POST /v1/passwords/reset-requests works.")

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The view of the settings."""
        return cls(
            registration=settings.registration,
            documents=[*settings.user_document],
            document_required=bool(settings.user_document) and settings.environment != "local",
            mails_reset_links=settings.smtp_url is not None,
        )


class Metadata(BaseModel):
    """What runs here."""

    version: str
    revision: str
    environment: str
    workers: int = Field(description="Workers that should be serving.")
    python: str
    torch: str
    models: list[ModelSummary]
    queues: dict[str, QueueState] | None = Field(
        description="Messages of each model's jobs, as the broker counts them; null without jobs, "
        "and where the broker does not answer at once."
    )
    docs: bool = Field(description="Whether /docs is served.")
    accounts: AccountsView | None = Field(description="null with AUTH=off.")


# Two decorators, as GET and HEAD cannot share an operation id; OpenAPI describes GET alone.
@router.get("/health", operation_id="health")
@router.api_route("/health", methods=["GET", "HEAD"], include_in_schema=False)
async def health() -> Health:
    """The process lives. It checks nothing else, so a broken dependency restarts nothing."""
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
    readiness: ReadinessDep, response: Response, scope: Literal["all", "instance"] = "all"
) -> Readiness:
    """Whether requests should be sent here: models loaded, and no shutdown begun.

    What jobs (database, storage, broker) and accounts (database) need must answer too; with
    `scope=instance` it is not asked. All instances share it, so a balancer that took each one out
    for its sake would leave none to answer: predictions need none of it with `AUTH=off`, and with
    `AUTH=keys` the database alone, without which they get a 503.
    """
    checks = readiness.check_instance()
    if scope == "all":
        checks |= await readiness.check_shared()
    good = all(check.ok for check in checks.values())
    response.status_code = 200 if good else 503
    return Readiness(status="ready" if good else "not ready", checks=checks)


@router.get("/metadata")
async def metadata(state: StateDep) -> Metadata:
    """Version, revision, models and the state of their queues."""
    settings = state["settings"]
    return Metadata(
        version=__version__,
        revision=settings.revision,
        environment=settings.environment,
        workers=size(settings).workers,
        python=platform.python_version(),
        torch=version("torch"),
        models=(await list_models(state)).models,
        queues=await _queue_states(state),
        docs=settings.docs,
        accounts=AccountsView.of(settings) if settings.auth == "keys" else None,
    )


async def _queue_states(state: State) -> dict[str, QueueState] | None:
    job_services = state["job_services"]
    if job_services is not None:
        with suppress(TimeoutError):
            async with asyncio.timeout(QUEUES_SECONDS):
                return await job_services.queue_states([*state["models"]])
    return None


@metrics_router.get("/metrics", response_class=Response, responses=problem_responses(401))
async def metrics(
    request: Request,
    state: StateDep,
    settings: SettingsDep,
    readiness: ReadinessDep,
    runner: RunnerDep,
) -> Response:
    """The metrics of all workers, in the Prometheus text format."""
    if settings.metrics_token is not None:
        auth.require_scrape_token(request, settings.metrics_token)
    shared = await readiness.check_shared()
    accounts = state["accounts"]
    limits_up = await accounts.rates.is_up() if accounts else None

    def observe(families: Sequence[Metric]) -> Iterator[Metric]:
        yield from readiness_metrics(shared, families)
        if limits_up is not None:
            yield observed(LIMIT_STORE_UP, limits_up)
        yield from runner.drift.collect()

    exposed = await run_in_threadpool(expose, settings.prometheus_multiproc_dir, observe)
    COLLECT_SECONDS.observe(exposed.seconds)
    MULTIPROC_FILES.set(exposed.files)
    return Response(exposed.text, media_type=CONTENT_TYPE)
