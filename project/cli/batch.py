"""Runs many jobs at a server at once: send, follow, save; one that fails costs no other."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from project.cli.connection import Refused, Server, said
from project.cli.following import NEEDED, View, follow, path_of
from project.cli.orders import Item, form, key_of
from project.cli.saving import save
from project.errors import ConfigurationError, ProjectError

SENT_AT_ONCE = 4
FOLLOWED_AT_ONCE = 16  # each is a connection to the server


class Display(Protocol):
    """Shows how far the jobs are."""

    def show(self, item: Item) -> None:
        """Something about the job has changed."""


Send = Callable[[Item], Awaitable[View]]


class Batch:
    """The jobs of one command. items: kept up to date, so that they tell what is open."""

    def __init__(
        self, server: Server, items: Sequence[Item], folder: Path, display: Display
    ) -> None:
        self._server = server
        self._items = items
        self._folder = folder
        self._display = display
        self._sending = asyncio.Semaphore(SENT_AT_ONCE)
        self._following = asyncio.Semaphore(FOLLOWED_AT_ONCE)

    async def run(self, send: Send) -> None:
        """See every job to its end. send: gives the job of an item."""
        async with asyncio.TaskGroup() as group:
            for item in self._items:
                group.create_task(self._see_to(item, send))

    async def _see_to(self, item: Item, send: Send) -> None:
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
                    item.failure = why(job)
        except ProjectError as error:
            item.failure = "; ".join([error.detail, *map(": ".join, error.fields.items())])
        self._display.show(item)


def why(job: View) -> str:
    """Why a job that has ended has no result."""
    problem = job.get("problem")
    known = said(problem) if isinstance(problem, dict) and job["status"] == "failed" else ""
    return known or str(job["status"])


def path_of_model(model: str) -> str:
    """Where a model is."""
    return f"/v1/models/{quote(model, safe='', errors='replace')}"


async def images_of(server: Server, model: str) -> list[str]:
    """The names of the images that a model takes. Raises ConfigurationError if it takes no jobs."""
    try:
        detail = await server.ask("GET", path_of_model(model), having=("name", "jobs", "images"))
    except Refused as error:
        if error.code != HTTPStatus.NOT_FOUND:
            raise
        served = await server.ask("GET", "/v1/models", having=("models",))
        names = ", ".join(str(each["name"]) for each in served["models"])
        raise ConfigurationError(
            f"the server at {server.url} has no model {model}; there are: {names}"
        ) from error
    if detail["jobs"] is None:
        raise ConfigurationError(f"the server at {server.url} takes no jobs: JOBS is off there")
    return [str(name) for name in detail["images"]]


def submission(
    server: Server, model: str, params: Sequence[tuple[str, str]], key: str | None, *, alone: bool
) -> Send:
    """Sends a job; sent again after a broken connection it is the same job by its key."""

    async def send(item: Item) -> View:
        parts = await asyncio.to_thread(form, item, params)
        headers = {"Idempotency-Key": key_of(key, parts, alone=alone)}
        item.sending = True
        path = f"{path_of_model(model)}/jobs"
        body: dict[str, Any] = {"files": parts} if parts else {"json": {}}
        return await server.ask("POST", path, having=NEEDED, headers=headers, **body)

    return send


def known(server: Server) -> Send:
    """Finds a job that is there already, by its id."""

    async def send(item: Item) -> View:
        return await server.ask("GET", path_of(item.label), having=NEEDED)

    return send
