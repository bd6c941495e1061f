"""Patience with callers: slow uploads come to an end, and nobody computes for the gone."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from project.errors import CallerGone, SlowUpload

T = TypeVar("T")


async def within(seconds: float, reading: Coroutine[Any, Any, T]) -> T:
    """Await the reading of a body. Raises SlowUpload after so many seconds, CallerGone if cut."""
    try:
        async with asyncio.timeout(seconds):
            return await reading
    except TimeoutError as error:
        raise SlowUpload(f"the body did not come within {seconds:g} s; send it faster") from error
    except ClientDisconnect as error:
        raise CallerGone("the caller hung up") from error


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Await work whose request's body has been read; cancel it when the caller hangs up.

    Raises what the work raises, or CallerGone.
    """
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise CallerGone("the caller hung up")
    finally:
        task.cancel()
        gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
