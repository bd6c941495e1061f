"""METRICS_PORT: an application that answers /metrics alone, on a port of its own.

It stands alone because it is an application beside the one that the factory builds.
"""

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from project.api import problems
from project.api.routes import operations


class MetricsPort:
    """Serves the metrics alone on the metrics port, and the application on every other."""

    def __init__(self, app: ASGIApp, metrics: ASGIApp, port: int) -> None:
        self._app = app
        self._metrics = metrics
        self._port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Route by the local port of the connection, which no header can forge."""
        server = scope.get("server")
        connection = scope["type"] in {"http", "websocket"}
        on_metrics_port = connection and server and server[1] == self._port
        await (self._metrics if on_metrics_port else self._app)(scope, receive, send)


def metrics_app() -> FastAPI:
    """Build what answers on METRICS_PORT: /metrics alone, with the state of the application."""
    app = FastAPI(openapi_url=None, redirect_slashes=False, telemetry={"tracing": False})
    problems.register(app)
    app.include_router(operations.metrics_router)
    return app
