"""A server of the API of jobs with a worker, for tests of clients; it injects faults."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

import httpx2
import uvicorn
from PIL import Image

from drills.waiting import DEADLINE
from project.api.factory import create_app
from project.db.engine import open_database
from project.db.records import Job
from project.jobs.execution import JobExecutor, ModelHost
from project.jobs.outcomes import OutcomeRecorder
from project.models.base import AnyModel, NoInputs, Picture, Steps
from project.storage import make_storage
from tests.database import Jobs, create_tables
from tests.fakes import BlendModel, FakeQueue, PaintModel, Prompt
from tests.job_api import job_settings

Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]


@dataclass
class Fault:
    """A fault of the next `times` requests with this method and end of path.

    status: the response, instead of the application's. cut: the number of pieces of the body after
    which the connection breaks.
    """

    method: str
    path: str
    status: int | None = None
    cut: int | None = None
    times: int = 1


class Blend(BlendModel):
    """A BlendModel that a worker can load."""

    def load(self) -> None:
        """Nothing to load."""


class Paint(PaintModel):
    """A PaintModel that a worker can load; its picture is as wide as the prompt is long."""

    def load(self) -> None:
        """Nothing to load."""

    def steps(self, inputs: NoInputs, params: Prompt) -> Steps[Picture]:
        yield 0.5
        return Image.new("RGB", (len(params.prompt), 1))


class JobServer:
    """A server that can be stopped and started again. works: whether the worker runs jobs."""

    def __init__(self, folder: Path, models: Sequence[AnyModel], **changes: Any) -> None:
        self.folder = folder
        self.settings = job_settings(folder, **{"log_level": "ERROR"} | changes)
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.works = True
        self._models = models
        self._address = ("127.0.0.1", 0)

    @property
    def url(self) -> str:
        """Base URL, without a slash at its end."""
        return f"http://127.0.0.1:{self._address[1]}"

    def __enter__(self) -> Self:
        """Start, on the same port as before."""
        listener = socket.create_server(self._address)
        self._address = listener.getsockname()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(listener)))
        self._thread.start()
        assert self._ready.wait(DEADLINE)
        return self

    def __exit__(self, *_what: object) -> None:
        """Stop gracefully."""
        self._server.should_exit = True
        self._thread.join()

    def jobs(self) -> list[Job]:
        """Every job, the newest first."""
        page = self._jobs.queries.page(1000)
        return asyncio.run_coroutine_threadsafe(page, self._loop).result(DEADLINE)

    def count(self, method: str, path: str) -> int:
        """The number of requests with this method and end of path."""
        return len([1 for each in self.requests if each[0] == method and each[1].endswith(path)])

    def post(self, model: str, image: bytes) -> str:
        """Send a job; returns its id."""
        answer = httpx2.post(f"{self.url}/v1/models/{model}/jobs", files={"image": image})
        assert answer.status_code == HTTPStatus.ACCEPTED, answer.text
        return str(answer.json()["id"])

    async def _serve(self, listener: socket.socket) -> None:
        settings, self._loop = self.settings, asyncio.get_running_loop()
        self._waiting: asyncio.Queue[str] = asyncio.Queue()
        queue = _LocalQueue(self)
        await create_tables(settings)
        app = create_app(settings, self._models, make_queue=lambda _settings: queue)
        config = uvicorn.Config(
            self._faulty(app), log_config=None, timeout_graceful_shutdown=2, lifespan="on"
        )
        self._server = _SignallingServer(config, self._ready)
        async with open_database(settings) as engine, ModelHost(self._models, settings) as served:
            self._jobs = jobs = Jobs.of(engine)
            outcomes = OutcomeRecorder(settings, jobs.queries, jobs.transitions, queue)
            storage = make_storage(settings)
            executor = JobExecutor(settings, jobs.transitions, storage, served, outcomes)
            working = asyncio.create_task(self._work(executor))
            unsent = await jobs.queries.due(1e12, 1000)
            for job in [*unsent, *await jobs.queries.waiting_since(1e12, 1000)]:
                self._waiting.put_nowait(job.id)
            await self._server.serve(sockets=[listener])
            working.cancel()

    def enqueue(self, job_id: str, delay_seconds: float) -> None:
        """Give a job to the worker after a delay, if there is one."""
        if self.works:
            self._loop.call_later(delay_seconds, self._waiting.put_nowait, job_id)

    async def _work(self, executor: JobExecutor) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                job_id = await self._waiting.get()
                group.create_task(executor.run(job_id))

    def _faulty(self, app: Any) -> Any:
        async def faulty(scope: Message, receive: Any, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            self.requests.append((scope["method"], scope["path"], headers))
            fault = self._fault(scope)
            if fault is None:
                await app(scope, receive, send)
            elif fault.status:
                start = {"type": "http.response.start", "status": fault.status}
                await send(start | {"headers": [(b"retry-after", b"0")]})
                await send({"type": "http.response.body", "body": b""})
            else:
                await app(scope, receive, _cutting(send, fault.cut or 0))

        return faulty

    def _fault(self, scope: Message) -> Fault | None:
        for fault in self.faults:
            fits = scope["method"] == fault.method and scope["path"].endswith(fault.path)
            if fits and fault.times:
                fault.times -= 1
                return fault
        return None


class _LocalQueue(FakeQueue):
    """Sends jobs to the worker beside the server."""

    def __init__(self, server: JobServer) -> None:
        super().__init__()
        self._server = server

    async def send(self, job: Job, delay_seconds: float = 0) -> None:
        self._server.enqueue(job.id, delay_seconds)

    async def send_first(self, job: Job) -> None:
        self._server.enqueue(job.id, 0)


class _SignallingServer(uvicorn.Server):
    """Sets an event when it listens."""

    def __init__(self, config: uvicorn.Config, ready: threading.Event) -> None:
        super().__init__(config)
        self._listens = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listens.set()


def _cutting(send: Send, pieces: int) -> Send:
    """A `send` that announces a longer body than it sends."""
    left = pieces

    async def cutting(message: Message) -> None:
        nonlocal left
        if message["type"] == "http.response.start":
            headers = [pair for pair in message["headers"] if pair[0] != b"content-length"]
            await send(message | {"headers": [*headers, (b"content-length", b"1000000")]})
        elif left:
            left -= 1
            await send(message | {"more_body": True})

    return cutting
