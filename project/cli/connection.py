"""An HTTP client of the API: JSON answers, problem documents as errors, retries, and the key.

The key of VITRINE_KEY goes with every request to the server, and to no other host: neither where an
answer redirects to a bucket, nor where it names another address.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2

from project.cli.output import plain
from project.errors import ConfigurationError, ProjectError, QuotaExceeded
from project.settings.client import ClientSettings

TIMEOUT = httpx2.Timeout(60, connect=5)
TRANSIENT = {429, 502, 503, 504}  # statuses that a retry may not meet
MAX_RETRY_AFTER_SECONDS = 60.0  # a longer Retry-After is not waited for
CLIENT_ERROR = 400
LAST_PORT = 65_535
MAX_TEXT = 500
KEY_ADVICE: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: "set VITRINE_KEY to an API key of this server",
    HTTPStatus.FORBIDDEN: "set VITRINE_KEY to a key that may do this",
    HTTPStatus.TOO_MANY_REQUESTS: "try again later, or have an administrator raise the limit",
}

T = TypeVar("T")


class RequestFailed(ProjectError):
    """Base of both. after: seconds of Retry-After; full: the server is overloaded."""

    after: float | None = None
    full = False


class ErrorResponse(RequestFailed):
    """The server's answer is an error. code: its status; problem: the last part of its type.

    transient: a retry may not meet it; a quota is exceeded until the month ends.
    """

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
        self.transient = code in TRANSIENT and problem != QuotaExceeded.slug


class Unreachable(RequestFailed):
    """The server does not answer."""


@dataclass(frozen=True)
class RetryPolicy:
    """How requests are retried: for how long, and with pauses that double up to a maximum.

    seconds: without an answer; then the last error is raised. on_retry: called with the reason.
    """

    seconds: float = 180
    first_pause: float = 0.25
    max_pause: float = 5
    on_retry: Callable[[str], None] = lambda _reason: None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] = time.monotonic


class _KeyAuth(httpx2.Auth):
    """Sends the headers with a request to the server; a redirect to another host loses them."""

    def __init__(self, base: httpx2.URL, headers: Mapping[str, str]) -> None:
        self._origin = base.origin
        self._headers = headers

    def auth_flow(
        self, request: httpx2.Request
    ) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Yield the request, once."""
        if request.url.origin == self._origin:
            request.headers.update(self._headers)
        yield request


class Server:
    """One server; every method raises ErrorResponse or Unreachable.

    retry: for a server that restarts or is overloaded; None: every request is sent once. transport:
    other than the network.
    """

    def __init__(
        self,
        url: str,
        retry: RetryPolicy | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.retry = retry
        try:
            base = httpx2.URL(self.url)
        except (httpx2.InvalidURL, ValueError):
            base = httpx2.URL()
        is_http = base.scheme in {"http", "https"}
        if not is_http or not base.host or (base.port or 0) > LAST_PORT:
            raise ConfigurationError(f"--url {url}: write it as http://localhost:8000")
        self.key_headers = key_headers()
        limits = httpx2.Limits(max_connections=None)  # one stream for each followed job
        self._client = httpx2.AsyncClient(
            base_url=base,
            timeout=TIMEOUT,
            limits=limits,
            headers={"User-Agent": "vitrine"},
            auth=_KeyAuth(base, self.key_headers) if self.key_headers else None,
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        """Connections are opened on demand."""
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connections."""
        await self._client.__aexit__(kind, error, traceback)

    async def request(
        self, method: str, path: str, *, required: Sequence[str] = (), **options: Any
    ) -> dict[str, Any]:
        """The JSON object that the server answers with. required: keys that it must have."""
        value = json_object(await self.content(method, path, **options))
        if not value.keys() >= set(required):
            raise ErrorResponse(f"what answers at {self.url} is not Vitrine: see --url", code=0)
        return value

    async def content(self, method: str, path: str, **options: Any) -> bytes:
        """The body that the server answers with."""

        async def once() -> bytes:
            async with self.stream(method, path, **options) as answer:
                return await answer.aread()

        return await self.with_retries(once)

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, **options: Any
    ) -> AsyncIterator[httpx2.Response]:
        """A response without an error status, its body unread; sent once."""
        try:
            async with self._client.stream(method, path, **options) as answer:
                if answer.status_code >= CLIENT_ERROR:
                    await answer.aread()
                    raise error_response(answer)
                yield answer
        except UnicodeEncodeError as error:  # an argument that is not UTF-8
            raise ErrorResponse(
                "a parameter or text is not UTF-8: see --param and --input", code=0
            ) from error
        except (httpx2.RequestError, httpx2.StreamError) as error:
            raise Unreachable(
                f"no answer from {self.url} ({_reason(error)}): is the server running there? "
                "--url names another"
            ) from error

    async def with_retries(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """The result of an attempt, repeated while the server is away or overloaded.

        An overloaded server is alive, and retried as long as it reports that.
        """
        if self.retry is None:
            return await attempt()
        pause, since = self.retry.first_pause, self.retry.clock()
        while True:
            try:
                return await attempt()
            except (ErrorResponse, Unreachable) as error:
                if isinstance(error, ErrorResponse) and not error.transient:
                    raise
                if error.full:
                    since = self.retry.clock()
                elif self.retry.clock() - since >= self.retry.seconds:
                    raise
                asked = min(error.after or 0, MAX_RETRY_AFTER_SECONDS)
                self.retry.on_retry(error.detail)
            wait = max(asked, self.retry.first_pause) if asked else pause
            pause = min(2 * pause, self.retry.max_pause)
            await self.retry.sleep(wait)


def error_response(answer: httpx2.Response) -> ErrorResponse:
    """The error in a response whose body has been read."""
    document = json_object(answer.content)
    if "title" not in document:  # from a proxy or another program
        document["title"] = f"{answer.status_code} {answer.reason_phrase} from {answer.url.host}"
    errors = document.get("errors")
    faults = errors.items() if isinstance(errors, dict) else ()
    after = answer.headers.get("retry-after", "")
    return ErrorResponse(
        refusal_line(document, answer.status_code),
        code=answer.status_code,
        problem=str(document.get("type", "")).rpartition(":")[2],
        fields={str(name): str(fault) for name, fault in faults},
        after=float(after) if after.isascii() and after.isdigit() else None,
    )


def key_headers() -> dict[str, str]:
    """The header with the key of VITRINE_KEY; none where it is not set. Raises ConfigurationError.

    The error does not show the key.
    """
    secret = ClientSettings().vitrine_key
    key = secret.get_secret_value().strip() if secret else ""
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigurationError("VITRINE_KEY: an API key is vitrine_ and letters, without spaces")
    return {"Authorization": f"Bearer {key}"} if key else {}


def refusal_line(problem: Mapping[str, Any], status: int) -> str:
    """A problem document in one line, with what to do about a key that is refused."""
    return "; ".join(filter(None, [problem_line(problem), KEY_ADVICE.get(status)]))


def problem_line(problem: Mapping[str, Any]) -> str:
    """A problem document in one line: title: detail."""
    parts = (str(problem.get(name) or "") for name in ("title", "detail"))
    return plain(": ".join(filter(None, parts)))[:MAX_TEXT]


def json_object(data: bytes) -> dict[str, Any]:
    """Parse a JSON object; {} where the bytes are none."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _reason(error: Exception) -> str:
    return plain(str(error) or type(error).__name__)[:MAX_TEXT]
