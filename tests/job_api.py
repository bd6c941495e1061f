"""The API of jobs around a real SQLite and a real folder, driven in the event loop of a test."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI

from project.api.dependencies import Services
from project.api.factory import create_app
from project.api.jobs.services import JobServices
from project.db.engine import open_database
from project.db.job_transitions import Job, JobTransitions
from project.db.migrate import upgrade
from project.models.base import AnyModel
from project.settings import Settings
from tests.conftest import make_settings, picture
from tests.database import sqlite_url
from tests.fakes import BlendModel, FakeSender, PaintModel, ShadeModel

SHADE, BLEND, PAINT = (f"/v1/models/{name}/jobs" for name in ("shade", "blend", "paint"))
PNG = {"Content-Type": "image/png"}


def job_settings(folder: Path, **changes: Any) -> Settings:
    """Settings with jobs on, all of whose data are in a folder."""
    fixed = {
        "jobs": True,
        "database_url": sqlite_url(folder),
        "storage_url": f"file:{folder}/storage",
        "log_format": "json",
    }
    return make_settings(**fixed | changes)


@dataclass
class JobApi:
    """The application while its lifespan lasts. jobs: a worker's view of the database."""

    app: FastAPI
    client: httpx2.AsyncClient
    jobs: JobTransitions
    folder: Path
    sender: FakeSender = field(default_factory=FakeSender)

    @property
    def services(self) -> Services:
        return self.app.state.services

    @property
    def desk(self) -> JobServices:
        assert self.services.desk is not None
        return self.services.desk

    async def submit(self, **changes: Any) -> dict[str, Any]:
        """A job of the model `shade` that waits, as its caller sees it."""
        answer = await self.client.post(SHADE, **{"content": picture(), "headers": PNG} | changes)
        assert answer.status_code == 202, answer.text
        return answer.json()

    async def running(self, owner: str = "worker") -> Job:
        """A job that a worker has claimed."""
        job = await self.jobs.claim((await self.submit())["id"], owner, 1e9, 1e10)
        assert job is not None
        return job

    async def rows(self) -> list[Job]:
        """Every job there is."""
        return await self.jobs.page(1000)

    def files(self) -> list[str]:
        """The keys of all files that are kept for jobs."""
        root = self.folder / "storage"
        return sorted(str(path.relative_to(root)) for path in root.rglob("jobs/**/*/*/*"))


@asynccontextmanager
async def job_api(
    settings: Settings,
    folder: Path,
    models: Sequence[AnyModel] | None = None,
    *,
    make_sender: Any = None,
    migrate: bool = True,
) -> AsyncIterator[JobApi]:
    """The API for the length of the body."""
    if migrate:
        await upgrade(settings)
    sender = FakeSender()
    served = [ShadeModel(), BlendModel(), PaintModel()] if models is None else models
    app = create_app(settings, served, make_sender=make_sender or (lambda _settings: sender))
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    client = httpx2.AsyncClient(transport=transport, base_url="http://test")
    async with (
        app.router.lifespan_context(app),
        client,
        open_database(settings) as engine,
    ):
        yield JobApi(app, client, JobTransitions(engine), folder, sender)


class Stream:
    """One GET that is read while it goes on, by a client that can leave."""

    def __init__(self, app: FastAPI, path: str, **headers: str) -> None:
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._left = asyncio.Event()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},  # as Uvicorn has it
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ("test", 1),
            "server": ("test", 80),
        }
        self.task = asyncio.create_task(app(scope, self._receive, self._messages.put))

    async def _receive(self) -> dict[str, Any]:
        await self._left.wait()
        return {"type": "http.disconnect"}

    def leave(self) -> None:
        """Hang up."""
        self._left.set()

    async def start(self) -> tuple[int, dict[str, str]]:
        """Status and headers."""
        message = await self._messages.get()
        headers = {name.decode(): value.decode() for name, value in message["headers"]}
        return message["status"], headers

    async def next(self) -> str | None:
        """The next piece; None at the end."""
        message = await self._messages.get()
        if not message.get("more_body"):
            assert not message["body"]
            return None
        return message["body"].decode()
