"""Local servers in place of Sentry and of an OpenTelemetry collector, which store all they get."""

import gzip
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class Received:
    """One request as it came. body: decompressed."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Collector:
    """A server that keeps every request and answers all with one status."""

    port: int
    status: int = 200
    requests: list[Received] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Base URL, without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def dsn(self) -> str:
        """What SENTRY_DSN is to be."""
        return f"http://0123456789abcdef@127.0.0.1:{self.port}/1"

    def everything(self) -> bytes:
        """All bodies in a row, to search for what must not be there."""
        return b"\n".join(request.body for request in self.requests)

    def events(self) -> list[dict[str, Any]]:
        """The error reports in the Sentry envelopes."""
        return [
            json.loads(payload)
            for request in self.requests
            for header, payload in envelope_items(request.body)
            if header["type"] == "event"
        ]

    def spans(self) -> list[Span]:
        """The spans in the OTLP requests."""
        return [
            span
            for resource in self._resources()
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def services(self) -> set[str]:
        """The service names that the spans came from."""
        return {
            item.value.string_value
            for resource in self._resources()
            for item in resource.resource.attributes
            if item.key == "service.name"
        }

    def _resources(self) -> Iterator[Any]:
        for request in self.requests:
            yield from ExportTraceServiceRequest.FromString(request.body).resource_spans


def envelope_items(body: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Header and payload of each item of a Sentry envelope."""
    rest = body.partition(b"\n")[2]
    while rest.strip():
        line, _, rest = rest.partition(b"\n")
        header = json.loads(line)
        length = header.get("length", rest.find(b"\n") if b"\n" in rest else len(rest))
        yield header, rest[:length]
        rest = rest[length:].removeprefix(b"\n")


def attributes(span: Span) -> dict[str, Any]:
    """The attributes of a span as plain values."""
    return {
        item.key: getattr(item.value, item.value.WhichOneof("value")) for item in span.attributes
    }


@contextmanager
def collecting(status: int = 200) -> Iterator[Collector]:
    """Run a collector on a free port while the body runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            headers = {name.lower(): value for name, value in self.headers.items()}
            collector.requests.append(Received(self.path, headers, body))
            self.send_response(collector.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(server.server_address[1], status)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def unreachable(*, hangs: bool) -> Iterator[Collector]:
    """A port that refuses connections, or one that accepts them and never answers.

    What was to be sent there may log until it gives up: wait for that before the test ends.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if hangs:
            listener.listen()
        yield Collector(listener.getsockname()[1])
