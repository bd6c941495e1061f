"""What routes ask for: the state that the lifespan made, by type."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends, Request

from project.api.jobs.services import JobServices
from project.api.overload import OverloadGuard
from project.inference.concurrency import StepCounts
from project.inference.runner import Runner
from project.models.base import AnyModel
from project.settings import Settings


@dataclass
class Services:
    """What lives as long as the process.

    models: all that are served, at once or as jobs. draining: shutdown has begun, /ready is red.
    desk: where jobs are on, from the lifespan's start to its end.
    """

    settings: Settings
    runner: Runner
    models: Mapping[str, AnyModel]
    desk: JobServices | None = field(default=None)
    draining: bool = field(default=False)
    door: OverloadGuard = field(init=False)

    def __post_init__(self) -> None:
        """Put the door before the runner."""
        self.door = OverloadGuard(self.runner, but_on=self.settings.metrics_port)

    def refusal(
        self, method: bytes, target: bytes, headers: list[tuple[bytes, bytes]], port: int | None
    ) -> bytes | None:
        """What the HTTP protocol asks for each head: see Door."""
        return self.door.refusal(method, target, headers, port)

    def join(self, board: StepCounts) -> None:
        """Share the machine with the other workers that look at this board."""
        self.runner.turns.board = board

    def leave(self) -> None:
        """End what would not end by itself: this worker listens no more."""
        if self.desk is not None:
            self.desk.feed.close()

    def stuck(self) -> list[str]:
        """Names of the models that hang, which only a new process cures."""
        return self.runner.stuck()


async def _services(request: Request) -> Services:  # async, or FastAPI calls it in a thread
    return cast("Services", request.app.state.services)


async def _desk(request: Request) -> JobServices:
    return cast(
        "JobServices", (await _services(request)).desk
    )  # its routes are there with it alone


ServicesDep = Annotated[Services, Depends(_services)]
JobServicesDep = Annotated[JobServices, Depends(_desk)]
