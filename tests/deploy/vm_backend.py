"""An instance that does what a test asks of it, in the place of the API."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WAIT_SECONDS = 30


class Backend(ThreadingHTTPServer):
    """begun: the requests whose head has come. release: lets go of those that are held."""

    daemon_threads = True

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.release = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class Handler(BaseHTTPRequestHandler):
    """By path: /hang, /drop, events of a job, a stream; all else is told back as JSON."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Backend

    def do_GET(self) -> None:
        self.server.begun.append(f"{self.command} {self.path}")
        if self.path == "/drop":
            self.close_connection = True
        elif self.path == "/hang":
            self.server.release.wait(WAIT_SECONDS)
            self.close_connection = True
        elif self.path.endswith("/events"):
            self._events()
        elif self.headers.get("Upgrade") == "websocket":
            self._echo()
        else:
            self._tell()

    do_POST = do_GET  # noqa: N815 - the library's name

    def _tell(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        told = json.dumps({"bytes": len(body), "headers": dict(self.headers)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def _events(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(b"event: job\nid: 1\n\n")
        self.server.release.wait(WAIT_SECONDS)
        self.wfile.write(b"event: job\nid: 2\n\n")
        self.close_connection = True

    def _echo(self) -> None:
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.end_headers()
        while data := self.connection.recv(4096):
            self.connection.sendall(data)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Nobody reads it."""


@contextmanager
def backend() -> Iterator[Backend]:
    """It serves for the length of the body."""
    with Backend() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.release.set()
            server.shutdown()
            thread.join()
