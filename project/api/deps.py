"""What routes ask for: the state that the lifespan made, by type."""

from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends, Request

from project.api.door import Door
from project.inference.runner import Runner
from project.inference.turns import Board
from project.settings import Settings


@dataclass
class Services:
    """What lives as long as the process. draining: shutdown has begun, /ready is red."""

    settings: Settings
    runner: Runner
    draining: bool = field(default=False)
    door: Door = field(init=False)

    def __post_init__(self) -> None:
        """Put the door before the runner."""
        self.door = Door(self.runner, but_on=self.settings.metrics_port)

    def refusal(
        self, method: bytes, target: bytes, headers: list[tuple[bytes, bytes]], port: int | None
    ) -> bytes | None:
        """What the HTTP protocol asks for each head: see Door."""
        return self.door.refusal(method, target, headers, port)

    def join(self, board: Board) -> None:
        """Share the machine with the other workers that look at this board."""
        self.runner.turns.board = board

    def stuck(self) -> list[str]:
        """Names of the models that hang, which only a new process cures."""
        return self.runner.stuck()


async def _services(request: Request) -> Services:  # async, or FastAPI calls it in a thread
    return cast("Services", request.app.state.services)


async def _runner(request: Request) -> Runner:
    return (await _services(request)).runner


ServicesDep = Annotated[Services, Depends(_services)]
RunnerDep = Annotated[Runner, Depends(_runner)]
