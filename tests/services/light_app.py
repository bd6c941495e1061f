"""Our metrics, middleware and exposition without inference: a worker that starts without torch."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

from loguru import logger
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from project.observability import metrics
from project.observability.http import RequestContext, instrument
from project.observability.logging import configure_logging
from project.observability.multiprocess import exposition
from project.observability.process import watch_process
from project.settings.loading import load_settings

settings = load_settings()


async def ready(_request: Request) -> Response:
    """Ready at once; there is nothing to load."""
    return JSONResponse({"status": "ready"})


async def work(request: Request) -> Response:
    """Count what a prediction counts; `seconds` makes it slow."""
    await asyncio.sleep(float(request.query_params.get("seconds", "0")))
    metrics.INFERENCE_REQUESTS.labels("light", "ok").inc()
    metrics.INFERENCE_STAGE.labels("light", "forward").observe(0.001)
    return JSONResponse({})


async def end(request: Request) -> Response:
    """End the process at once, as native code that aborts does."""
    os._exit(int(request.query_params["code"]))


def scrape(_request: Request) -> Response:
    """Merge the files as the product does; Starlette runs it in a thread, as the product does."""
    text, seconds, files = exposition(settings.prometheus_multiproc_dir)
    metrics.COLLECT_SECONDS.observe(seconds)
    metrics.MULTIPROC_FILES.set(files)
    return Response(text, media_type="text/plain")


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    """What the product's lifespan does, but for the models."""
    configure_logging(settings)
    metrics.declare(["light"])
    async with watch_process(settings.revision):
        logger.info("worker_ready")
        yield
    logger.info("worker_stopped")


app = Starlette(
    routes=[
        Route("/ready", ready),
        Route("/work", work),
        Route("/end", end),
        Route("/metrics", scrape),
    ],
    middleware=[Middleware(RequestContext, answer=lambda _error: Response(status_code=500))],
    lifespan=lifespan,
)
app.state.services = SimpleNamespace(
    draining=False,
    stuck=list,
    join=lambda _board: None,
    refusal=lambda *_head: None,
    leave=lambda: None,
)
instrument(app)
