"""Our metrics, middleware and exposition without inference: a worker that starts without torch."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

from loguru import logger
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from project.observability import metrics
from project.observability.exposition import CONTENT_TYPE, expose
from project.observability.logging import configure_logging
from project.observability.process import watch_process
from project.observability.request_context import RequestContext, instrument
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
    exposed = expose(settings.prometheus_multiproc_dir)
    metrics.COLLECT_SECONDS.observe(exposed.seconds)
    metrics.MULTIPROC_FILES.set(exposed.files)
    return Response(exposed.text, media_type=CONTENT_TYPE)


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, Any]]:
    """What the product's lifespan does, but for the models; the server is never asked to reject."""
    configure_logging(settings)
    metrics.declare(["light"])
    async with watch_process(settings.revision):
        logger.info("worker_ready")
        application = SimpleNamespace(
            overload=lambda *_head: None,
            share_step_counts=lambda _counts: None,
            begin_shutdown=lambda: None,
            stopped_listening=lambda: None,
            stuck_models=list,
        )
        yield {"application": application}
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
instrument(app)
