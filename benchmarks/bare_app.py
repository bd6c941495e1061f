"""The product without observability, to tell what observability costs; see bare_server.py.

The same runner and the same route, the limit on bodies kept: no request context, no access log, no
instrumentator, no tracing, nothing that watches the process.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware import Middleware

from project import models
from project.api import problems
from project.api.dependencies import Services
from project.api.middleware import BodyLimit
from project.api.routes import operations
from project.api.routes.predictions import predictions_router
from project.inference.runner import Runner
from project.observability.logging import configure_logging
from project.settings import Settings

settings = Settings()
served = models.create(settings.models, settings.weights_by_model)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Load the models; the line that benchmarks wait for is said without the log."""
    configure_logging(settings)
    async with app.state.services.runner:
        print("worker_ready", flush=True)
        yield


app = FastAPI(
    lifespan=lifespan,
    redirect_slashes=False,
    docs_url=None,
    redoc_url=None,
    telemetry={"tracing": False},
    middleware=[Middleware(BodyLimit, max_bytes=settings.max_body_bytes)],
)
app.state.services = Services(
    settings, Runner(served, settings), {model.name: model for model in served}
)
problems.register(app)
app.include_router(operations.router)
for model in served:
    app.include_router(predictions_router(model))
