"""Runs many jobs at a server concurrently: send, follow, save; a failure affects no other job."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from project.cli.connection import Server, problem_line
from project.cli.following import REQUIRED, View, follow, path_of
from project.cli.inputs import Item, form, key_of
from project.cli.saving import save
from project.cli.served_model import path_of_model
from project.errors import ProjectError

MAX_SENDING = 4
MAX_FOLLOWED = 16  # each is a connection to the server


class Display(Protocol):
    """Shows the progress of the jobs."""

    def show(self, item: Item) -> None:
        """Show a job that has changed."""


Send = Callable[[Item], Awaitable[View]]


class Batch:
    """The jobs of one command. items: updated as the jobs proceed."""

    def __init__(
        self, server: Server, items: Sequence[Item], folder: Path, display: Display
    ) -> None:
        self._server = server
        self._items = items
        self._folder = folder
        self._display = display
        self._sending = asyncio.Semaphore(MAX_SENDING)
        self._following = asyncio.Semaphore(MAX_FOLLOWED)

    async def run(self, send: Send) -> None:
        """Process every job to its end. send: submits or finds the job of an item."""
        async with asyncio.TaskGroup() as group:
            for item in self._items:
                group.create_task(self._process(item, send))

    async def _process(self, item: Item, send: Send) -> None:
        def show(view: View) -> None:
            item.job = view
            self._display.show(item)

        try:
            async with self._sending:
                show(await send(item))
            async with self._following:
                job = await follow(self._server, item.job or {}, show)
                item.job = job
                if job["status"] == "succeeded":
                    item.saved = await save(self._server, job, self._folder, item.stem)
                else:
                    item.failure = failure_of(job)
        except ProjectError as error:
            item.failure = "; ".join([error.detail, *map(": ".join, error.fields.items())])
        self._display.show(item)


def failure_of(job: View) -> str:
    """Why a finished job has no result."""
    problem = job.get("problem")
    reason = (
        problem_line(problem) if isinstance(problem, dict) and job["status"] == "failed" else ""
    )
    return reason or str(job["status"])


def submission(
    server: Server, model: str, params: Sequence[tuple[str, str]], key: str | None, *, alone: bool
) -> Send:
    """Submits a job; its idempotency key makes a retry the same job."""

    async def send(item: Item) -> View:
        parts = await asyncio.to_thread(form, item, params)
        headers = {"Idempotency-Key": key_of(key, parts, alone=alone)}
        item.sending = True
        path = f"{path_of_model(model)}/jobs"
        body: dict[str, Any] = {"files": parts} if parts else {"json": {}}
        return await server.request("POST", path, required=REQUIRED, headers=headers, **body)

    return send


def existing(server: Server) -> Send:
    """Finds an existing job by its id."""

    async def send(item: Item) -> View:
        return await server.request("GET", path_of(item.label), required=REQUIRED)

    return send
