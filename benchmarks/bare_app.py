"""The product without observability, to measure what observability costs; see bare_server.py.

The same runner, route and body limit, but no request context, access log, instrumentator, tracing
or process metrics.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware import Middleware

from project import models
from project.api import problems
from project.api.body_limit import BodyLimit
from project.api.overload import OverloadGuard
from project.api.readiness import ReadinessChecks
from project.api.routes import operations
from project.api.routes.predictions import predictions_router
from project.api.state import Application, State
from project.api.streams.sessions import StreamSessions
from project.inference.runner import Runner
from project.observability.logging import configure_logging
from project.settings import Settings

settings = Settings()
served = models.create(settings.models, settings.weights_by_model)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[State]:
    """Load the models; print the line that benchmarks wait for."""
    configure_logging(settings)
    runner = Runner.of(served, settings)
    async with runner:
        print("worker_ready", flush=True)
        readiness = ReadinessChecks(runner.queues, {})
        streams = StreamSessions(settings.stream_sessions)
        yield State(
            settings=settings,
            models={model.name: model for model in served},
            runner=runner,
            readiness=readiness,
            job_services=None,
            accounts=None,
            streams=streams,
            application=Application(OverloadGuard(runner), runner, readiness, None, streams),
        )


app = FastAPI(
    lifespan=lifespan,
    redirect_slashes=False,
    docs_url=None,
    redoc_url=None,
    telemetry={"tracing": False},
    middleware=[Middleware(BodyLimit, max_bytes=settings.max_body_bytes)],
)
problems.register(app)
app.include_router(operations.router)
for model in served:
    app.include_router(predictions_router(model, jobs=False))
