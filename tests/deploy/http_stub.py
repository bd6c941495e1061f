"""HTTP servers on loopback that answer as a test defines and record the requests they receive."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar

WAIT_SECONDS = 30


@dataclass(frozen=True)
class Request:
    """The head of a request, recorded before its body is read. line: method and path."""

    line: str
    headers: dict[str, str]

    @property
    def path(self) -> str:
        return self.line.split()[1]


Answer = tuple[int, Mapping[str, str], bytes]
Respond = Callable[[Request, bytes], Answer]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "StubServer"

    def do_GET(self) -> None:
        request = Request(f"{self.command} {self.path}", dict(self.headers))
        self.server.requests.append(request)
        if not self.server.handle_specially(self, request):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers, content = self.server.respond(request, body)
            _start(self, status, **headers, Content_Length=str(len(content)))
            self.wfile.write(content)

    do_POST = do_PUT = do_GET  # noqa: N815 - the library's names

    def log_message(self, *_: object) -> None:
        """Write no log."""


class StubServer(ThreadingHTTPServer):
    """requests: those received so far. respond: request and body to status, headers and body."""

    daemon_threads = True

    def __init__(self, respond: Respond, port: int = 0) -> None:
        self.requests: list[Request] = []
        self.respond = respond
        super().__init__(("127.0.0.1", port), _Handler)
        self.port = int(self.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def handle_specially(self, handler: BaseHTTPRequestHandler, request: Request) -> bool:
        """Handle a request that needs more than one answer; false where it does not."""
        return False


class StubApi(StubServer):
    """Stands in for the API behind a proxy: answers with the request's headers and body length.

    resume: lets requests for /hang and for events continue.
    """

    def __init__(self, port: int = 0) -> None:
        self.resume = threading.Event()
        super().__init__(_echo, port)

    def handle_specially(self, handler: BaseHTTPRequestHandler, request: Request) -> bool:
        if request.path == "/hang":
            self.resume.wait(WAIT_SECONDS)
        elif request.path.endswith("/events"):
            _start(handler, 200, X_Accel_Buffering="no", Connection="close")
            handler.wfile.write(b"event: job\nid: 1\n\n")
            self.resume.wait(WAIT_SECONDS)
            handler.wfile.write(b"event: job\nid: 2\n\n")
        elif request.headers.get("Upgrade") == "websocket":
            _start(handler, 101, Upgrade="websocket", Connection="Upgrade")
            while data := handler.connection.recv(4096):
                handler.connection.sendall(data)
        elif request.path != "/drop":
            return False
        handler.close_connection = True
        return True


def _echo(request: Request, body: bytes) -> Answer:
    content = json.dumps({"bytes": len(body), "headers": request.headers}).encode()
    return (503 if request.path == "/busy" else 200), {}, content


def _start(handler: BaseHTTPRequestHandler, status: int, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()


Server = TypeVar("Server", bound=StubServer)


@contextmanager
def serve(server: Server) -> Iterator[Server]:
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            if isinstance(server, StubApi):
                server.resume.set()
            server.shutdown()
            thread.join(WAIT_SECONDS)


def serve_statuses(statuses: Mapping[str, int]) -> StubServer:
    """Make a server that answers each path with the status that the mapping holds at that moment.

    A path that is not there gets 200.
    """
    return StubServer(lambda request, _: (statuses.get(request.path, 200), {}, b"{}"))
