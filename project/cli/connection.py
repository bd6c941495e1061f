"""Talks to a server of ours: JSON in answers, problem documents as errors, patience where asked."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2

from project.cli.output import plain
from project.errors import ConfigurationError, ProjectError

TIMEOUT = httpx2.Timeout(60, connect=5)
SILENCE_SECONDS = 45.0  # of an event stream, which says something every 15 s
PASSING = {429, 502, 503, 504}  # statuses that another try may not meet
LONGEST_SECONDS = 60.0  # the longest Retry-After that is waited out
CLIENT_ERROR = 400
LAST_PORT = 65_535
MAX_TEXT = 500

T = TypeVar("T")


class Trouble(ProjectError):
    """Base of both. after: seconds to wait before another try; full: the server has no room."""

    after: float | None = None
    full = False


class Refused(Trouble):
    """The server's answer is an error. code: its status; problem: the last part of its type."""

    def __init__(
        self,
        detail: str,
        *,
        code: int,
        problem: str = "",
        fields: dict[str, str] | None = None,
        after: float | None = None,
    ) -> None:
        super().__init__(detail, fields=fields)
        self.code = code
        self.problem = problem
        self.after = after
        self.full = problem == "overloaded"


class Unreachable(Trouble):
    """The server does not answer."""


@dataclass(frozen=True)
class Patience:
    """How long to try again: silence, and pauses that double from the first to the longest.

    tell: is told why, at every try.
    """

    seconds: float = 180
    first: float = 0.25
    longest: float = 5
    tell: Callable[[str], None] = lambda _why: None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] = time.monotonic


class Server:
    """One server; every method raises Refused or Unreachable.

    patience: with one that restarts or has no room; None to try everything once. transport: what
    carries requests there, other than the network.
    """

    def __init__(
        self,
        url: str,
        patience: Patience | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.patience = patience
        try:
            base = httpx2.URL(self.url)
        except (httpx2.InvalidURL, ValueError):
            base = httpx2.URL()
        known = base.scheme in {"http", "https"}
        if not known or not base.host or (base.port or 0) > LAST_PORT:
            raise ConfigurationError(f"--url {url}: write it as http://localhost:8000")
        limits = httpx2.Limits(max_connections=None)  # who follows many jobs has many streams
        self._client = httpx2.AsyncClient(
            base_url=base,
            timeout=TIMEOUT,
            limits=limits,
            headers={"User-Agent": "vitrine"},
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        """Connections are opened when they are needed."""
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close them."""
        await self._client.__aexit__(kind, error, traceback)

    async def ask(
        self, method: str, path: str, *, having: Sequence[str] = (), **options: Any
    ) -> dict[str, Any]:
        """The JSON object that the server answers with. having: names that it must have."""

        async def once() -> dict[str, Any]:
            async with self.stream(method, path, **options) as answer:
                data = await answer.aread()
            value = as_object(data)
            if not value.keys() >= set(having):
                raise Refused(f"what answers at {self.url} is not Vitrine: see --url", code=0)
            return value

        return await self.patiently(once)

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, **options: Any
    ) -> AsyncIterator[httpx2.Response]:
        """An answer that is no error, whose body is yet to be read; tried once."""
        try:
            async with self._client.stream(method, path, **options) as answer:
                if answer.status_code >= CLIENT_ERROR:
                    await answer.aread()
                    raise refusal(answer)
                yield answer
        except UnicodeEncodeError as error:  # an argument whose bytes are none of UTF-8
            raise Refused("what is to be sent is no UTF-8 text: see --param", code=0) from error
        except (httpx2.RequestError, httpx2.StreamError) as error:
            raise Unreachable(
                f"no answer from {self.url} ({_reason(error)}): is the server running there? "
                "--url names another"
            ) from error

    async def patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """What an attempt gives, made again while the server is away or has no room.

        A server that says it is full is alive, and waited for as long as it says so.
        """
        if self.patience is None:
            return await attempt()
        pause, since = self.patience.first, self.patience.clock()
        while True:
            try:
                return await attempt()
            except (Refused, Unreachable) as error:
                if isinstance(error, Refused) and error.code not in PASSING:
                    raise
                if error.full:
                    since = self.patience.clock()
                elif self.patience.clock() - since >= self.patience.seconds:
                    raise
                asked = min(error.after or 0, LONGEST_SECONDS)
                self.patience.tell(error.detail)
            wait = max(asked, self.patience.first) if asked else pause
            pause = min(2 * pause, self.patience.longest)
            await self.patience.sleep(wait)


def refusal(answer: httpx2.Response) -> Refused:
    """The error that an answer tells of, whose body has been read."""
    document = as_object(answer.content)
    if "title" not in document:  # a proxy's, or another program's
        document["title"] = f"{answer.status_code} {answer.reason_phrase} from {answer.url.host}"
    errors = document.get("errors")
    faults = errors.items() if isinstance(errors, dict) else ()
    after = answer.headers.get("retry-after", "")
    return Refused(
        said(document),
        code=answer.status_code,
        problem=str(document.get("type", "")).rpartition(":")[2],
        fields={str(name): str(fault) for name, fault in faults},
        after=float(after) if after.isascii() and after.isdigit() else None,
    )


def said(problem: Mapping[str, Any]) -> str:
    """A problem document in a line: title: detail."""
    parts = (str(problem.get(name) or "") for name in ("title", "detail"))
    return plain(": ".join(filter(None, parts)))[:MAX_TEXT]


def as_object(data: bytes) -> dict[str, Any]:
    """What the bytes say as JSON, or nothing where that is no object."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _reason(error: Exception) -> str:
    return plain(str(error) or type(error).__name__)[:MAX_TEXT]
