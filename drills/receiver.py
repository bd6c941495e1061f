"""Who is notified: a webhook of ours behind Alertmanager, that wakes whoever waits for an alert."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from drills.waiting import DEADLINE


@dataclass(frozen=True)
class Notice:
    """One alert of a notification. path: where it came; at: `time.monotonic()` when."""

    path: str
    at: float
    status: str
    labels: dict[str, str]
    annotations: dict[str, str]

    @property
    def name(self) -> str:
        """Of the alert."""
        return self.labels["alertname"]

    def fits(self, name: str, status: str, labels: dict[str, str]) -> bool:
        """Whether it is of that alert, in that state, with at least these labels."""
        return (self.name, self.status) == (name, status) and labels.items() <= self.labels.items()


@dataclass
class Receiver:
    """Keeps every notice. port: where it listens on loopback."""

    port: int
    _notices: list[Notice] = field(default_factory=list)
    _came: threading.Condition = field(default_factory=threading.Condition)

    def url(self, path: str) -> str:
        """The address of one of its doors; any path is one."""
        return f"http://127.0.0.1:{self.port}{path}"

    def take(self, path: str, body: dict[str, Any]) -> None:
        """Keep what Alertmanager has sent, and wake who waits."""
        now = time.monotonic()
        notices = [
            Notice(path, now, alert["status"], alert["labels"], alert["annotations"])
            for alert in body["alerts"]
        ]
        with self._came:
            self._notices += notices
            self._came.notify_all()

    def notices(self, path: str, after: float = 0) -> list[Notice]:
        """What has come at a path since a moment."""
        with self._came:
            return [it for it in self._notices if it.path == path and it.at >= after]

    def first_but(self, name: str, *, after: float, seconds: float) -> Notice | None:
        """The first notice of any other alert, if one comes within so many seconds."""

        def found() -> Notice | None:
            return next((it for it in self._notices if it.at >= after and it.name != name), None)

        with self._came:
            self._came.wait_for(found, seconds)
            return found()

    def await_alert(
        self,
        name: str,
        status: str = "firing",
        *,
        path: str,
        after: float = 0,
        deadline: float = DEADLINE,
        **labels: str,
    ) -> Notice:
        """The first notice of an alert in a state with these labels, as soon as it has come.

        after: what came before that moment does not count. Raises TimeoutError.
        """

        def found() -> Notice | None:
            notices = self.notices(path, after)
            return next((it for it in notices if it.fits(name, status, labels)), None)

        with self._came:
            self._came.wait_for(found, deadline)
            if notice := found():
                return notice
            came = sorted({f"{it.name} {it.status}" for it in self.notices(path, after)})
        raise TimeoutError(f"not within {deadline:g} s: {name} {status} {labels}; came: {came}")


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Listen on a free port while the body runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.take(self.path, json.loads(body))
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
