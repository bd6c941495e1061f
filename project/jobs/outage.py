"""Waits for a database that is gone, as nothing can be said of a job without it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from loguru import logger

from project.errors import DatabaseUnavailable

T = TypeVar("T")
PAUSE_SECONDS = 1.0


async def retry_until_available(call: Callable[[], Awaitable[T]], leaving: asyncio.Event) -> T:
    """What `call` gives as soon as the database is there.

    Raises DatabaseUnavailable where this process is to leave before that.
    """
    while True:
        try:
            return await call()
        except DatabaseUnavailable:
            if leaving.is_set():
                raise
            logger.warning("job_waits_for_database")
        with suppress(TimeoutError):
            await asyncio.wait_for(leaving.wait(), PAUSE_SECONDS)
