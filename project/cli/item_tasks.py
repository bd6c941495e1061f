"""Processes the items of a command, several at a time; an error fails its item alone."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from project.cli.inputs import Item
from project.errors import ProjectError


async def for_each(
    items: Iterable[Item], limit: int, process: Callable[[Item], Awaitable[None]]
) -> None:
    """Process every item. limit: of those that are processed at the same time.

    process: a ProjectError of it becomes the item's failure.
    """
    waiting = iter(items)

    async def work() -> None:
        for item in waiting:
            try:
                await process(item)
            except ProjectError as error:
                item.failure = reason_of(error)

    async with asyncio.TaskGroup() as group:
        for _ in range(limit):
            group.create_task(work())


def reason_of(error: ProjectError) -> str:
    """An error in one line."""
    return "; ".join([error.detail, *map(": ".join, error.fields.items())])
