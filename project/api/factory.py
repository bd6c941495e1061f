"""create_app: from settings to the ASGI application. Building does no I/O; the lifespan does."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import APIRouter, FastAPI
from loguru import logger
from opentelemetry.sdk.trace import TracerProvider
from starlette.middleware import Middleware
from starlette.staticfiles import StaticFiles

from project import __version__, models
from project.accounts.services import open_account_services
from project.api import openapi, problems
from project.api.auth import Authentication
from project.api.body_limit import BodyLimit
from project.api.cors import cors_middleware
from project.api.jobs.services import open_job_services
from project.api.metrics_port import MetricsPort, metrics_app
from project.api.overload import OverloadGuard
from project.api.readiness import Probe, ReadinessChecks
from project.api.routes import (
    admin,
    cache,
    documentation,
    jobs,
    keys,
    operations,
    stream,
    tokens,
    users,
    web_page,
)
from project.api.routes import models as model_routes
from project.api.routes.job_submission import submit_router
from project.api.routes.local_files import files_router
from project.api.routes.predictions import predictions_router
from project.api.state import Application, State
from project.api.streams.sessions import StreamSessions
from project.db.engine import open_database, read_url
from project.db.job_queries import JobQueries
from project.inference.runner import Runner
from project.jobs.queue import JobQueue
from project.models.base import AnyModel
from project.observability import metrics, sentry
from project.observability.logging import configure_logging
from project.observability.process import watch_process
from project.observability.request_context import RequestContext, instrument
from project.observability.tracing import make_provider
from project.settings import Settings
from project.storage import LocalStorage, Storage, make_storage

DESCRIPTION = (
    "Image inference over HTTP. Errors are problem documents (RFC 9457) that say what to do."
)
# The users' own routes first: /v1/users/me is no user of the id `me`.
ACCOUNT_ROUTERS = (users.router, tokens.router, keys.router, admin.router)


def create_app(
    settings: Settings,
    served: Sequence[AnyModel] | None = None,
    *,
    make_queue: Callable[[Settings], JobQueue] = JobQueue.of,
) -> FastAPI:
    """Build the application for these settings.

    served: models to serve instead of those that settings.models names. make_queue: opens the
    queue of jobs; the lifespan calls it, after the fork.
    Raises ConfigurationError if a model has no file, or if DATABASE_URL or STORAGE_URL is invalid.
    """
    served = models.create(settings.models, settings.weights_by_model) if served is None else served
    at_once = models.without_background(served, jobs=settings.jobs)
    left_out = [] if settings.jobs else [model.name for model in served if model.background]
    served = served if settings.jobs else at_once
    if settings.needs_database:
        read_url(settings)
    storage = make_storage(settings) if settings.jobs else None
    secured = settings.auth == "keys"
    tracing = make_provider(settings)
    runner = Runner.of(at_once, settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[State]:
        configure_logging(settings)
        sentry.configure_sentry(settings)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(_stop, tracing)
            guard = OverloadGuard(runner, excluded_port=settings.metrics_port, jobs=settings.jobs)
            stack.callback(guard.flush_log)
            job_services = accounts = None
            probes: dict[str, Probe] = {}
            if settings.needs_database:
                engine = await stack.enter_async_context(open_database(settings))
            if secured:
                accounts = await stack.enter_async_context(open_account_services(settings, engine))
                probes["database"] = Probe(JobQueries(engine).check)
            if storage is not None:
                metrics.declare(jobs=[model.name for model in served])
                quota = accounts.quota if accounts else None
                opening = open_job_services(settings, engine, storage, make_queue, quota)
                job_services = await stack.enter_async_context(opening)
                probes |= job_services.probes
            metrics.declare(
                slo_seconds={model.name: model.slo_seconds for model in at_once},
                streams=[model.name for model in at_once],
            )
            streams = StreamSessions(settings.stream_sessions)
            await stack.enter_async_context(runner)
            await stack.enter_async_context(watch_process(settings.revision))
            readiness = ReadinessChecks(runner.queues, probes)
            if left_out:
                logger.bind(models=left_out).warning("models_without_jobs")
            logger.info("worker_ready")
            yield State(
                settings=settings,
                models={model.name: model for model in served},
                runner=runner,
                readiness=readiness,
                job_services=job_services,
                accounts=accounts,
                streams=streams,
                application=Application(guard, runner, readiness, job_services, streams),
            )

    app = FastAPI(
        title="Vitrine",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,  # a redirect would label the raw path: cardinality without a login
        openapi_url="/openapi.json" if settings.docs else None,
        docs_url=None,
        redoc_url=None,
        telemetry={
            "tracing": tracing is not None,
            "tracer_provider": tracing,
            "metrics": False,  # Prometheus has them
            "logs": False,  # and Loguru these
        },
        middleware=[
            *cors_middleware(settings.cors_origins),
            Middleware(RequestContext, answer=problems.unexpected),
            Middleware(BodyLimit, max_bytes=settings.max_body_bytes),
            *([Middleware(Authentication, answer=problems.answer_error)] if secured else []),
        ],
    )
    problems.register(app)
    app.openapi = openapi.corrected(app.openapi, secured=secured)  # type: ignore[method-assign]
    instrument(app)
    _add_routes(app, settings, served, storage)
    return app


def _add_routes(
    app: FastAPI, settings: Settings, served: Sequence[AnyModel], storage: Storage | None
) -> None:
    app.mount("/static", web_page.PageFiles(directory=web_page.STATIC), name="static")
    if settings.docs:
        app.mount("/docs/files", StaticFiles(directory=documentation.swagger_files()), name="docs")
    routers = [
        predictions_router(model, jobs=settings.jobs) for model in served
    ]  # first, as Starlette tries in order
    routers += _job_routers(served, storage) if storage else []
    routers += [
        web_page.router,
        *([documentation.router] if settings.docs else []),
        operations.router,
        model_routes.router,
        stream.router,
        cache.router,
        *(ACCOUNT_ROUTERS if settings.auth == "keys" else []),
    ]
    for router in routers:
        app.include_router(router)
    if settings.metrics_port is None:
        app.include_router(operations.metrics_router)
    else:
        app.add_middleware(MetricsPort, metrics=metrics_app(), port=settings.metrics_port)


async def _stop(tracing: TracerProvider | None) -> None:
    """Log the end, then send what Sentry and the tracer still hold."""
    logger.info("worker_stopped")
    closers = [sentry.close, *([tracing.shutdown] if tracing else [])]
    await asyncio.gather(*(asyncio.to_thread(close) for close in closers))


def _job_routers(served: Sequence[AnyModel], storage: Storage) -> list[APIRouter]:
    routers = [submit_router(model) for model in served]
    if isinstance(storage, LocalStorage):
        routers.append(files_router(storage))
    return [*routers, jobs.router]
