"""The API of jobs in the test's event loop: a real SQLite, a real folder, a fake queue."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from starlette.types import ASGIApp, Receive, Scope, Send

from project.api.factory import create_app
from project.api.jobs.services import JobServices
from project.api.state import State
from project.db.engine import open_database
from project.db.records import Job
from project.models.base import AnyModel
from project.settings import Settings
from tests.conftest import make_settings, picture
from tests.database import Jobs, create_tables, sqlite_url
from tests.fakes import BlendModel, FakeQueue, PaintModel, ShadeModel

SHADE, BLEND, PAINT = (f"/v1/models/{name}/jobs" for name in ("shade", "blend", "paint"))
PNG = {"Content-Type": "image/png"}


def job_settings(folder: Path, **changes: Any) -> Settings:
    """Settings with jobs on; all data are in a folder."""
    fixed = {
        "jobs": True,
        "database_url": sqlite_url(folder),
        "storage_url": f"file:{folder}/storage",
        "log_format": "json",
    }
    return make_settings(**fixed | changes)


@dataclass
class JobApi:
    """The application within its lifespan. jobs: a worker's access to the database."""

    app: ASGIApp
    state: State
    client: httpx2.AsyncClient
    jobs: Jobs
    folder: Path
    queue: FakeQueue = field(default_factory=FakeQueue)

    @property
    def job_services(self) -> JobServices:
        services = self.state["job_services"]
        assert services is not None
        return services

    async def submit(self, **changes: Any) -> dict[str, Any]:
        """The view of a job of the model `shade` that waits."""
        answer = await self.client.post(SHADE, **{"content": picture(), "headers": PNG} | changes)
        assert answer.status_code == 202, answer.text
        return answer.json()

    async def running(self, owner: str = "worker") -> Job:
        """A job that a worker has claimed."""
        job_id = (await self.submit())["id"]
        claim = await self.jobs.transitions.claim(job_id, owner, 1e9, 1e10)
        assert claim is not None
        return claim.job

    async def rows(self) -> list[Job]:
        """Every job."""
        return await self.jobs.queries.page(1000)

    def files(self) -> list[str]:
        """The keys of all stored files of jobs."""
        root = self.folder / "storage"
        return sorted(str(path.relative_to(root)) for path in root.rglob("jobs/**/*/*/*"))


@asynccontextmanager
async def job_api(
    settings: Settings,
    folder: Path,
    models: Sequence[AnyModel] | None = None,
    *,
    migrate: bool = True,
) -> AsyncIterator[JobApi]:
    """The API while the context is open."""
    if migrate:
        await create_tables(settings)
    queue = FakeQueue()
    models = [ShadeModel(), BlendModel(), PaintModel()] if models is None else models
    app = create_app(settings, models, make_queue=lambda _settings: queue)
    async with app.router.lifespan_context(app) as state, open_database(settings) as engine:
        served = with_state(app, state)
        transport = httpx2.ASGITransport(served, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            yield JobApi(served, state, client, Jobs.of(engine), folder, queue)


def with_state(app: ASGIApp, state: State) -> ASGIApp:
    """The application with the state of its lifespan in each request, as a server puts it there."""

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": dict(state)}, receive, send)

    return served


class Stream:
    """A GET whose response is read while it is sent; the client can disconnect."""

    def __init__(self, app: ASGIApp, path: str, **headers: str) -> None:
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._disconnected = asyncio.Event()
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
        await self._disconnected.wait()
        return {"type": "http.disconnect"}

    def disconnect(self) -> None:
        """Close the connection."""
        self._disconnected.set()

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
