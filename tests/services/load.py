"""Clients that keep connections alive and note precisely how each of their requests ended."""

import http.client
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

from drills.server import Server
from drills.waiting import DEADLINE, wait_until
from tests.conftest import picture
from tests.services.quick_app import PATH

REFUSED = "refused"  # nobody listened: the request was never sent
UNANSWERED = "unanswered"  # the connection ended before the answer's first byte
CUT = "cut"  # the connection ended within the answer
PICTURE = picture()


@dataclass(frozen=True)
class Outcome:
    """How one request ended. error: one of the above, or None where an answer came whole."""

    request_id: str
    status: int = 0
    closing: bool = False
    error: str | None = None


class Client:
    """One connection, opened again whenever the server closes it."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Outcome:
        """Send one request and read its answer to the end."""
        request_id = uuid.uuid4().hex
        try:
            self._connection.request(method, path, body, {"X-Request-ID": request_id, **headers})
            answer = self._connection.getresponse()
        except ConnectionRefusedError:
            return self._failed(request_id, REFUSED)
        except (OSError, http.client.BadStatusLine):
            return self._failed(request_id, UNANSWERED)
        try:
            answer.read()
        except (OSError, http.client.HTTPException):
            return self._failed(request_id, CUT)
        closing = (answer.getheader("connection") or "").lower() == "close"
        return Outcome(request_id, answer.status, closing)

    def predict(self, **params: object) -> Outcome:
        """Ask for one prediction."""
        query = f"?{urlencode(params)}" if params else ""
        return self.request("POST", PATH + query, PICTURE, **{"Content-Type": "image/png"})

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _failed(self, request_id: str, error: str) -> Outcome:
        self._connection.close()
        return Outcome(request_id, error=error)


def ask(client: Client) -> Outcome:
    """What a client under `Load` does by default: one quick prediction."""
    return client.predict()


@dataclass
class Load:
    """Clients that ask again and again while the context is open."""

    server: Server
    clients: int = 8
    ask: Callable[[Client], Outcome] = ask
    outcomes: list[Outcome] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=self._run) for _ in range(self.clients)]
        for thread in self._threads:
            thread.start()
        self.await_more(self.clients)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(DEADLINE)

    def await_more(self, number: int) -> None:
        """Wait until that many more requests have ended."""
        goal = len(self.outcomes) + number
        wait_until(lambda: len(self.outcomes) >= goal, f"{number} more requests have ended")

    def await_end(self) -> None:
        """Wait until every client has been refused, which is when it gives up."""
        for thread in self._threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()

    def summary(self) -> Counter[int | str]:
        """How many requests ended with each status or error."""
        return Counter(outcome.error or outcome.status for outcome in self.outcomes)

    def _run(self) -> None:
        client = Client(self.server.port)
        while not self._over.is_set():
            outcome = self.ask(client)
            self.outcomes.append(outcome)
            if outcome.error == REFUSED:
                break
        client.close()
