"""Clients of live streams, as tests use them: one that blocks, and many at once."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from drills.server import Server
from tests.conftest import picture

PATH = "/v1/models/shade/stream"
SECONDS = 20.0
LIGHT, DARK = picture(), picture(colour="black")


class Stream:
    """One open session whose hello has been read."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.hello = self.receive()

    def receive(self) -> dict[str, Any]:
        """The next message."""
        return json.loads(self.connection.recv(timeout=SECONDS))

    def send(self, message: bytes | dict[str, Any]) -> None:
        """Send a frame, or an object."""
        self.connection.send(message if isinstance(message, bytes) else json.dumps(message))

    def ask(self, message: bytes | dict[str, Any]) -> dict[str, Any]:
        """Send, and return the next message."""
        self.send(message)
        return self.receive()

    def set(self, **params: Any) -> dict[str, Any]:
        """Set the parameters."""
        return self.ask({"type": "params", "params": params})

    def await_close(self) -> tuple[int, list[dict[str, Any]]]:
        """Read to the end: the code of the close, and the messages before it."""
        return until_closed(self.connection)


def until_closed(connection: ClientConnection) -> tuple[int, list[dict[str, Any]]]:
    """The code of the close, and the messages before it."""
    messages: list[dict[str, Any]] = []
    try:
        while True:
            messages.append(json.loads(connection.recv(timeout=SECONDS)))
    except ConnectionClosed as closed:
        return (closed.rcvd.code if closed.rcvd else 1006), messages


def url_of(server: Server, path: str = PATH) -> str:
    """The address of a path, for WebSockets."""
    return f"ws{server.url.removeprefix('http')}{path}"


@contextmanager
def dialled(server: Server, path: str = PATH, **options: Any) -> Iterator[ClientConnection]:
    """A connection whose messages are not read yet."""
    with connect(url_of(server, path), max_size=None, **options) as connection:
        yield connection


@contextmanager
def streaming(server: Server, path: str = PATH, **options: Any) -> Iterator[Stream]:
    """A session."""
    with dialled(server, path, **options) as connection:
        yield Stream(connection)
