"""Time-outs of uploads, and the end of work whose client has disconnected."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

from starlette.requests import ClientDisconnect, Request

from project.errors import ClientDisconnected, SlowUpload

T = TypeVar("T")


async def read_with_timeout(seconds: float, reading: Coroutine[Any, Any, T]) -> T:
    """Await the reading of a body.

    Raises SlowUpload after that many seconds, ClientDisconnected where the client ends first.
    """
    try:
        async with asyncio.timeout(seconds):
            return await reading
    except TimeoutError as error:
        raise SlowUpload(f"the body did not arrive within {seconds:g} s; send it faster") from error
    except ClientDisconnect as error:
        raise ClientDisconnected("the client disconnected") from error


async def cancel_on_disconnect(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Await work whose request's body is read; cancel it when the client disconnects.

    Raises what the work raises, or ClientDisconnected.
    """
    task = cast("asyncio.Task[Any]", asyncio.current_task())
    disconnected = False

    async def watch() -> None:
        nonlocal disconnected
        while (await request.receive())["type"] != "http.disconnect":
            pass
        disconnected = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        return await work
    except asyncio.CancelledError as error:
        if not disconnected or task.uncancel():  # the cancellation comes from elsewhere
            raise
        raise ClientDisconnected("the client disconnected") from error
    finally:
        watcher.cancel()
