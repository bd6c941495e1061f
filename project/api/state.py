"""The state of one process of the API: what the lifespan yields to requests and to the server."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

from project.accounts.services import AccountServices
from project.api.jobs.services import JobServices
from project.api.overload import OverloadGuard
from project.api.readiness import ReadinessChecks
from project.api.server_interface import Headers, ServedApplication
from project.api.streams.sessions import StreamSessions
from project.errors import Overloaded
from project.inference.concurrency import StepCounts
from project.inference.runner import Runner
from project.models.base import AnyModel
from project.settings import Settings


class State(TypedDict):
    """What Starlette copies into the state of each request, by reference.

    models: all that are served, by prediction or as jobs. job_services: None where jobs are off.
    accounts: None with AUTH=off.
    """

    settings: Settings
    models: Mapping[str, AnyModel]
    runner: Runner
    readiness: ReadinessChecks
    job_services: JobServices | None
    accounts: AccountServices | None
    streams: StreamSessions
    application: ServedApplication


@dataclass(frozen=True)
class Application:
    """Answers the server: see ServedApplication."""

    guard: OverloadGuard
    runner: Runner
    readiness: ReadinessChecks
    job_services: JobServices | None
    streams: StreamSessions

    def overload(
        self, method: bytes, target: bytes, headers: Headers, port: int | None
    ) -> Overloaded | None:
        """Ask the overload guard."""
        return self.guard.overload(method, target, headers, port)

    def share_step_counts(self, counts: StepCounts) -> None:
        """Hand the siblings' counts to the concurrency limiter."""
        self.runner.limiter.step_counts = counts

    def begin_shutdown(self) -> None:
        """Turn /ready red."""
        self.readiness.begin_shutdown()

    def stopped_listening(self) -> None:
        """Close the streams of job events, and the live streams."""
        self.streams.close()
        if self.job_services is not None:
            self.job_services.feed.close()

    def stuck_models(self) -> list[str]:
        """Ask the runner."""
        return self.runner.stuck()
