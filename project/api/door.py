"""The door: under overload a prediction is refused before anything is spent on it.

A refusal by the route has passed every layer, and at ten times the load that a machine can carry
such refusals alone would take half of it. This one is counted like any other; in the log it is one
line a second, `requests_refused`, with their number, and it has no span.
"""

import asyncio
from collections import Counter

from fastapi import FastAPI
from loguru import logger
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from project.api.problems import problem
from project.errors import Overloaded
from project.inference.lane import Lane
from project.inference.runner import Runner
from project.observability import metrics
from project.observability.context import REQUEST_ID, accept_request_id, trace_of

LOG_SECONDS = 1.0


class Vitrine(FastAPI):
    """FastAPI behind a door. door: set once the models are known."""

    door: "Door | None" = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, unless the door refuses."""
        if self.door is None or not await self.door.refuses(scope, receive, send):
            await super().__call__(scope, receive, send)


class Door:
    """Knows the paths of all predictions and asks their lanes for a place."""

    def __init__(self, runner: Runner) -> None:
        self._lanes = {
            f"/v1/models/{name}/predictions": lane for name, lane in runner.lanes.items()
        }
        self._unsaid: Counter[str] = Counter()  # refusals that no log line has told of yet
        self._saying: asyncio.TimerHandle | None = None

    async def refuses(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Answer a prediction that has no place; its body is thrown away as it comes."""
        if scope["type"] != "http" or scope["method"] != "POST":
            return False
        lane = self._lanes.get(scope["path"])
        overload = lane.overload() if lane else None
        if lane is None or overload is None:
            return False
        self._count(lane, scope["path"])
        await self._answer(overload, scope, receive, send)
        return True

    async def _answer(
        self, overload: Overloaded, scope: Scope, receive: Receive, send: Send
    ) -> None:
        headers = Headers(scope=scope)
        request_id = accept_request_id(headers.get("x-request-id"))
        token = REQUEST_ID.set(request_id)
        answer = problem(
            overload.status,
            overload.title,
            overload.detail,
            slug=overload.slug,
            headers={**overload.headers, "X-Request-ID": request_id},
            trace_id=format(trace_of(headers.get("traceparent")), "032x"),
        )
        REQUEST_ID.reset(token)
        await answer(scope, receive, send)

    def _count(self, lane: Lane, path: str) -> None:
        name = lane.model.name
        metrics.HTTP_REQUESTS.labels("POST", path, str(Overloaded.status)).inc()
        metrics.HTTP_REJECTED.labels("overload").inc()
        metrics.INFERENCE_REQUESTS.labels(name, "overload").inc()
        self._unsaid[name] += 1
        if self._saying is None:
            self._say()

    def _say(self) -> None:
        """Tell of the refusals so far, and again after a while, until there are no more."""
        self._saying = None
        if not self._unsaid:
            return
        for name, count in self._unsaid.items():
            log = logger.bind(model=name, count=count, status=Overloaded.status)
            log.warning("requests_refused")
        self._unsaid.clear()
        self._saying = asyncio.get_running_loop().call_later(LOG_SECONDS, self._say)
