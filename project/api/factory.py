"""create_app: from settings to the ASGI application. Building does no I/O; the lifespan does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from loguru import logger
from starlette.middleware import Middleware
from starlette.staticfiles import StaticFiles

from project import __version__, models
from project.api import documentation, problems
from project.api.deps import Services
from project.api.middleware import BodyLimit, MetricsPort
from project.api.routes import cache, operations, page
from project.api.routes import models as model_routes
from project.api.routes.predictions import predictions_router
from project.inference.runner import Runner
from project.models._base import Model
from project.observability import sentry
from project.observability.http import RequestContext, instrument
from project.observability.logging import configure_logging
from project.observability.process import watch_process
from project.observability.tracing import make_provider
from project.settings import Settings

DESCRIPTION = (
    "Image inference over HTTP. Errors are problem documents (RFC 9457) that say what to do."
)


def create_app(settings: Settings, served: list[Model[Any, Any]] | None = None) -> FastAPI:
    """The application for these settings.

    served: models to serve instead of those that settings.models names.
    Raises ConfigurationError where a model named there has no file.
    """
    served = models.create(settings.models, settings.sources) if served is None else served
    tracing = make_provider(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        configure_logging(settings)
        sentry.configure_sentry(settings)
        try:
            async with app.state.services.runner, watch_process(settings.revision):
                logger.info("worker_ready")
                yield
        finally:
            app.state.services.door.tell()
            logger.info("worker_stopped")
            closers = [sentry.close, *([tracing.shutdown] if tracing else [])]
            await asyncio.gather(*(asyncio.to_thread(close) for close in closers))

    app = FastAPI(
        title="Vitrine",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,  # a redirect would label the raw path: cardinality without a login
        docs_url=None,
        redoc_url=None,
        telemetry={
            "tracing": tracing is not None,
            "tracer_provider": tracing,
            "metrics": False,  # Prometheus has them
            "logs": False,  # and Loguru these
        },
        middleware=[
            Middleware(RequestContext, answer=problems.unexpected),
            Middleware(BodyLimit, max_bytes=settings.max_body_bytes),
        ],
    )
    runner = Runner(served, settings)
    app.state.services = Services(settings, runner)
    problems.register(app)
    instrument(app)
    app.mount("/static", page.PageFiles(directory=page.STATIC), name="static")
    app.mount("/docs/files", StaticFiles(directory=documentation.swagger_files()), name="docs")
    for model in served:  # first, as routes are tried in their order
        app.include_router(predictions_router(model))
    for router in (
        page.router,
        documentation.router,
        operations.router,
        model_routes.router,
        cache.router,
    ):
        app.include_router(router)
    if settings.metrics_port is None:
        app.include_router(operations.metrics_router)
    else:
        metrics = _metrics_app(app.state.services)
        app.add_middleware(MetricsPort, metrics=metrics, port=settings.metrics_port)
    return app


def _metrics_app(services: Services) -> FastAPI:
    """What answers on METRICS_PORT: /metrics, and nothing else."""
    app = FastAPI(openapi_url=None, redirect_slashes=False, telemetry={"tracing": False})
    app.state.services = services
    problems.register(app)
    app.include_router(operations.metrics_router)
    return app
