"""What readiness asks of its neighbours: one question at a time, however many ask."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from pydantic import BaseModel, Field

from project.errors import ProjectError

PATIENCE_SECONDS = 2.0


class Check(BaseModel):
    """One thing that readiness depends on."""

    ok: bool
    latency_seconds: float = Field(description="What asking took.")
    detail: str | None = None


class Probe:
    """Asks one neighbour whether it is there. ask: raises a ProjectError where it is not.

    Who asks while an answer is awaited awaits the same one: a neighbour that hangs is left alone.
    """

    def __init__(self, ask: Callable[[], Awaitable[None]]) -> None:
        self._ask = ask
        self._asking: asyncio.Task[str | None] | None = None

    async def check(self, patience: float = PATIENCE_SECONDS) -> Check:
        """Whether it answers within so many seconds."""
        started = time.perf_counter()
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._outcome())
        try:
            async with asyncio.timeout(patience):
                detail = await asyncio.shield(self._asking)
        except TimeoutError:
            detail = f"no answer within {patience:g} s"
        latency = round(time.perf_counter() - started, 6)
        return Check(ok=detail is None, latency_seconds=latency, detail=detail)

    async def _outcome(self) -> str | None:
        try:
            await self._ask()
        except ProjectError as error:
            return error.detail
        return None
