"""Patience with callers: slow uploads come to an end, and nobody computes for the gone."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

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
    task = cast("asyncio.Task[Any]", asyncio.current_task())
    left = False

    async def watch() -> None:
        nonlocal left
        while (await request.receive())["type"] != "http.disconnect":
            pass
        left = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        return await work
    except asyncio.CancelledError as error:
        if not left or task.uncancel():  # somebody else wants this request to end
            raise
        raise CallerGone("the caller hung up") from error
    finally:
        watcher.cancel()
