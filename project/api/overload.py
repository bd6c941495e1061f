"""The door: under overload a prediction is refused before anything is spent on it.

A refusal by the route has passed every layer, and at ten times the load that a machine can carry
such refusals alone would take half of it. So the HTTP protocol asks here as soon as the head of a
request is whole. Such a refusal is counted like any other; in the log it is one line a second,
`requests_refused`, with their number, and it has no span.
"""

import asyncio
import json
from collections import Counter
from functools import lru_cache
from urllib.parse import unquote, urlsplit

from loguru import logger

from project.api.problems import MEDIA_TYPE
from project.errors import Overloaded, problem_type
from project.inference.model_queue import ModelQueue
from project.inference.runner import Runner
from project.observability import metrics
from project.observability.context import accept_request_id, trace_of

LOG_SECONDS = 1.0


class OverloadGuard:
    """Knows the paths of all predictions and asks their lanes for a place.

    but_on: a port on which no predictions are served.
    """

    def __init__(self, runner: Runner, but_on: int | None = None) -> None:
        self._gates = {
            gate.path.encode(): gate
            for gate in (GuardedRoute(queue) for queue in runner.queues.values())
        }
        self._but_on = but_on
        self._unsaid: Counter[str] = Counter()  # refusals that no log line has told of yet
        self._saying: asyncio.TimerHandle | None = None

    def refusal(
        self, method: bytes, target: bytes, headers: list[tuple[bytes, bytes]], port: int | None
    ) -> bytes | None:
        """Refuse a prediction that would have no place; None for everything else.

        target: as in the request line; headers: names in lower case; port: it came to. Returns
        the lines of the answer after its status line, and its body.
        """
        gate = self._gate(target)
        if gate is None or method != b"POST" or port == self._but_on:
            return None
        overload = gate.queue.overload()
        if overload is None:
            gate.queue.expect()
            return None
        gate.count()
        self._unsaid[gate.queue.model.name] += 1
        if self._saying is None:
            self._say()
        return _answer(overload, headers)

    def _gate(self, target: bytes) -> "GuardedRoute | None":
        path = target.partition(b"?")[0]
        if b"%" in path or not path.startswith(b"/"):  # other ways to write the same
            path = unquote(urlsplit(path.decode("latin-1")).path).encode()
        return self._gates.get(path)

    def tell(self) -> None:
        """Tell of the refusals that no log line has told of."""
        for name, count in self._unsaid.items():
            log = logger.bind(model=name, count=count, status=Overloaded.status)
            log.warning("requests_refused")
        self._unsaid.clear()

    def _say(self) -> None:
        """Tell, and again after a while, until there is nothing more to tell."""
        self._saying = None
        if not self._unsaid:
            return
        self.tell()
        self._saying = asyncio.get_running_loop().call_later(LOG_SECONDS, self._say)


class GuardedRoute:
    """One model's predictions: their path, their lane, and what counts those refused."""

    def __init__(self, queue: ModelQueue) -> None:
        self.queue = queue
        self.path = f"/v1/models/{queue.model.name}/predictions"
        self._counters = (
            metrics.HTTP_REQUESTS.labels("POST", self.path, str(Overloaded.status)),
            metrics.HTTP_REJECTED.labels("overload"),
            metrics.INFERENCE_REQUESTS.labels(queue.model.name, "overload"),
        )

    def count(self) -> None:
        """Count one that was refused."""
        for counter in self._counters:
            counter.inc()


def _answer(overload: Overloaded, headers: list[tuple[bytes, bytes]]) -> bytes:
    """The problem document with the caller's ids, as problems.py would build it."""
    request_id = traceparent = None
    for name, value in reversed(headers):  # of several, the first counts
        if name == b"x-request-id":
            request_id = value.decode("latin-1")
        elif name == b"traceparent":
            traceparent = value.decode("latin-1")
    request_id = accept_request_id(request_id)
    start, end = _template(overload.detail, overload.headers["Retry-After"])
    ids = f'{request_id}","trace_id":"{trace_of(traceparent):032x}"}}'
    length = len(end) + len(ids)
    return (
        f"{start}x-request-id: {request_id}\r\ncontent-length: {length}\r\n\r\n{end}{ids}".encode()
    )


@lru_cache
def _template(detail: str, retry_after: str) -> tuple[str, str]:
    """What such refusals have in common: the first header lines, and the document up to the id."""
    document = {
        "type": problem_type(Overloaded.slug),
        "title": Overloaded.title,
        "status": Overloaded.status,
        "detail": detail,
        "request_id": "",
    }
    lines = f"retry-after: {retry_after}\r\ncontent-type: {MEDIA_TYPE}\r\n"
    return lines, json.dumps(document, separators=(",", ":")).removesuffix('"}')
