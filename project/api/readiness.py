"""Readiness: what /ready and the scrapes check of this process and of what instances share."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from itertools import chain

from prometheus_client import Metric
from pydantic import BaseModel, Field

from project.errors import ProjectError
from project.inference.model_queue import ModelQueue
from project.observability.metrics import READINESS_SECONDS, READINESS_UP, observed

TIMEOUT_SECONDS = 2.0


class Check(BaseModel):
    """One thing that readiness depends on."""

    ok: bool
    latency_seconds: float = Field(description="What the check took.")
    detail: str | None = None


class Readiness(BaseModel):
    """Whether requests should be sent here, and what fails."""

    status: str = Field(description="`ready`, or `not ready` with status 503.")
    checks: dict[str, Check]


class Probe:
    """Checks one dependency. ask: raises a ProjectError where the dependency is not available.

    Concurrent checks share one call of `ask`: a dependency that hangs gets no second call.
    """

    def __init__(self, ask: Callable[[], Awaitable[None]]) -> None:
        self._ask = ask
        self._asking: asyncio.Task[str | None] | None = None

    async def check(self, timeout: float = TIMEOUT_SECONDS) -> Check:  # noqa: ASYNC109
        """Check whether the dependency answers within the timeout, in seconds.

        The call goes on after the timeout, for the next check to share.
        """
        started = time.perf_counter()
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._failure())
        try:
            async with asyncio.timeout(timeout):
                detail = await asyncio.shield(self._asking)
        except TimeoutError:
            detail = f"no answer within {timeout:g} s"
        latency = round(time.perf_counter() - started, 6)
        return Check(ok=detail is None, latency_seconds=latency, detail=detail)

    async def _failure(self) -> str | None:
        try:
            await self._ask()
        except ProjectError as error:
            return error.detail
        return None


class ReadinessChecks:
    """The checks of one process.

    queues: of the models that predict here. probes: of what all instances share (database,
    storage, broker). timeout: seconds for each probe.
    """

    def __init__(
        self,
        queues: Mapping[str, ModelQueue],
        probes: Mapping[str, Probe],
        *,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        self._queues = queues
        self._probes = probes
        self._timeout = timeout
        self._shutting_down = False

    def begin_shutdown(self) -> None:
        """Fail from now on: no more requests should be sent here."""
        self._shutting_down = True

    def check_instance(self) -> dict[str, Check]:
        """Check what this instance has for itself: its models, and no shutdown under way."""
        checks = {}
        for name, queue in self._queues.items():
            started = time.perf_counter()
            detail = None
            if queue.failure:
                detail = "not loaded: the log event model_load_failed says why"
            elif queue.is_stuck():
                detail = "its forward pass hangs: Gunicorn will replace this worker"
            checks[f"model:{name}"] = Check(
                ok=detail is None,
                latency_seconds=round(time.perf_counter() - started, 6),
                detail=detail,
            )
        if self._shutting_down:
            checks["shutdown"] = Check(ok=False, latency_seconds=0, detail="shutdown has begun")
        return checks

    async def check_shared(self) -> dict[str, Check]:
        """Check, concurrently, what instances share: the database of accounts, and what jobs need.

        Empty where jobs and accounts are off.
        """
        checks = (probe.check(self._timeout) for probe in self._probes.values())
        return dict(zip(self._probes, await asyncio.gather(*checks), strict=True))


def readiness_metrics(shared: Mapping[str, Check], families: Iterable[Metric]) -> Iterator[Metric]:
    """Yield the gauges of readiness. families: what the processes count.

    Whether a model is loaded comes from the `model_loaded` of all workers: what the one that
    answers this scrape knows of its own models would flicker from scrape to scrape.
    """
    up, seconds = observed(READINESS_UP), observed(READINESS_SECONDS)
    for sample in chain.from_iterable(family.samples for family in families):
        if sample.name == "model_loaded":
            up.add_metric([f"model:{sample.labels['model']}"], sample.value)
    for name, check in shared.items():
        up.add_metric([name], check.ok)
        seconds.add_metric([name], check.latency_seconds)
    yield up
    yield seconds
