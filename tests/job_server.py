"""The API of jobs on a port of its own with a worker beside it, for clients; faults on demand."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from itertools import chain
from pathlib import Path
from typing import Any, Self

import httpx2
import uvicorn
from PIL import Image

from drills.waiting import DEADLINE
from project.api.factory import create_app
from project.db.engine import open_database
from project.db.job_transitions import Job, JobTransitions
from project.db.migrate import upgrade
from project.jobs.execution import JobExecutor
from project.jobs.job_models import JobModels
from project.models.base import AnyModel
from project.storage import make_storage
from tests.fakes import BlendModel, PaintModel, Prompt
from tests.job_api import job_settings

Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]


@dataclass
class Fault:
    """What becomes of a request whose method and path are these, as often as `times` says.

    status: it is refused with it before the application hears of it. cut: only so many pieces of
    the answer's body come through, then the connection breaks.
    """

    method: str
    path: str
    status: int | None = None
    cut: int | None = None
    times: int = 1


class Blend(BlendModel):
    """Takes two pictures; runs where there is a worker."""

    def load(self) -> None:
        """There is nothing to load."""


class Paint(PaintModel):
    """Takes no picture; gives one as wide as the prompt is long."""

    def load(self) -> None:
        """There is nothing to load."""

    def steps(
        self,
        images: Mapping[str, Image.Image],
        params: Prompt,  # type: ignore[override]
    ) -> Generator[float, None, Image.Image]:
        yield 0.5
        return Image.new("RGB", (len(params.prompt), 1))


class JobServer:
    """A server that can be stopped and started again. works: whether there is a worker."""

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
        """Start, on the port of the last time if there was one."""
        listener = socket.create_server(self._address)
        self._address = listener.getsockname()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(listener)))
        self._thread.start()
        assert self._ready.wait(DEADLINE)
        return self

    def __exit__(self, *_what: object) -> None:
        """Stop, as at a deploy."""
        self._server.should_exit = True
        self._thread.join()

    def call(self, work: Callable[[JobTransitions], Awaitable[Any]]) -> Any:
        """What comes of doing something with the jobs in the server's loop."""
        return asyncio.run_coroutine_threadsafe(self._with_jobs(work), self._loop).result(DEADLINE)

    def jobs(self) -> list[Job]:
        """Every job there is, the newest first."""
        return self.call(lambda jobs: jobs.page(1000))

    def count(self, method: str, path: str) -> int:
        """How often a request came whose path ends so."""
        return len([1 for each in self.requests if each[0] == method and each[1].endswith(path)])

    def post(self, model: str, image: bytes) -> str:
        """Send a job; returns its id."""
        answer = httpx2.post(f"{self.url}/v1/models/{model}/jobs", files={"image": image})
        assert answer.status_code == HTTPStatus.ACCEPTED, answer.text
        return str(answer.json()["id"])

    async def _with_jobs(self, work: Callable[[JobTransitions], Awaitable[Any]]) -> Any:
        return await work(self._jobs)

    async def _serve(self, listener: socket.socket) -> None:
        settings, self._loop = self.settings, asyncio.get_running_loop()
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        await upgrade(settings)
        app = create_app(settings, self._models, make_sender=lambda _settings: self)  # type: ignore[arg-type,return-value]
        config = uvicorn.Config(
            self._faulty(app), log_config=None, timeout_graceful_shutdown=2, lifespan="on"
        )
        self._server = _Telling(config, self._ready)
        async with open_database(settings) as engine, JobModels(self._models, settings) as served:
            self._jobs = JobTransitions(engine)
            runs = JobExecutor(settings, self._jobs, make_storage(settings), served, self)  # type: ignore[arg-type]
            working = asyncio.create_task(self._work(runs))
            left = [await self._jobs.due(1e12, 1000), await self._jobs.long_sent(1e12, 1000)]
            for job in chain.from_iterable(left):
                self._queue.put_nowait(job.id)
            await self._server.serve(sockets=[listener])
            working.cancel()

    async def _work(self, runs: JobExecutor) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                job_id = await self._queue.get()
                group.create_task(runs.run(job_id))

    async def send(self, job: Job, delay_seconds: float = 0, *, first: bool = False) -> None:
        """What a sender does, but for `first`: every job has a worker here."""
        if self.works:
            self._loop.call_later(delay_seconds, self._queue.put_nowait, job.id)

    async def check(self) -> None:
        """A broker that answers."""

    def close(self) -> None:
        """There is no connection."""

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


class _Telling(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config, ready: threading.Event) -> None:
        super().__init__(config)
        self._listens = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listens.set()


def _cutting(send: Send, pieces: int) -> Send:
    """A `send` that promises more than it lets through."""
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
