"""A webhook receiver behind Alertmanager, with which a drill waits for an alert."""

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
class ReceivedAlert:
    """One alert of a notification. path: of the webhook; at: `time.monotonic()` of its arrival."""

    path: str
    at: float
    status: str
    labels: dict[str, str]
    annotations: dict[str, str]

    @property
    def name(self) -> str:
        """Name of the alert."""
        return self.labels["alertname"]

    def fits(self, name: str, status: str, labels: dict[str, str]) -> bool:
        """Whether it is that alert, in that state, with at least these labels."""
        return (self.name, self.status) == (name, status) and labels.items() <= self.labels.items()


@dataclass
class Receiver:
    """Keeps every alert. port: where it listens on loopback."""

    port: int
    _alerts: list[ReceivedAlert] = field(default_factory=list)
    _arrived: threading.Condition = field(default_factory=threading.Condition)

    def url(self, path: str) -> str:
        """URL of a webhook; any path is one."""
        return f"http://127.0.0.1:{self.port}{path}"

    def take(self, path: str, body: dict[str, Any]) -> None:
        """Store a notification of Alertmanager, and wake every waiting thread."""
        now = time.monotonic()
        alerts = [
            ReceivedAlert(path, now, alert["status"], alert["labels"], alert["annotations"])
            for alert in body["alerts"]
        ]
        with self._arrived:
            self._alerts += alerts
            self._arrived.notify_all()

    def alerts(self, path: str, after: float = 0) -> list[ReceivedAlert]:
        """Alerts that have arrived at a path since a moment."""
        with self._arrived:
            return [it for it in self._alerts if it.path == path and it.at >= after]

    def first_but(self, name: str, *, after: float, seconds: float) -> ReceivedAlert | None:
        """The first alert of any other alert, if one comes within so many seconds."""

        def found() -> ReceivedAlert | None:
            return next((it for it in self._alerts if it.at >= after and it.name != name), None)

        with self._arrived:
            self._arrived.wait_for(found, seconds)
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
    ) -> ReceivedAlert:
        """The first alert of an alert in a state with these labels, as soon as it has come.

        after: what came before that moment does not count. Raises TimeoutError.
        """

        def found() -> ReceivedAlert | None:
            alerts = self.alerts(path, after)
            return next((it for it in alerts if it.fits(name, status, labels)), None)

        with self._arrived:
            self._arrived.wait_for(found, deadline)
            if alert := found():
                return alert
            came = sorted({f"{it.name} {it.status}" for it in self.alerts(path, after)})
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
            """Log nothing."""

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
