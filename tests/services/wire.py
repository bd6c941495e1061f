"""HTTP by hand: the bytes that no client library would send, and every byte that comes back."""

import socket
from dataclasses import dataclass, replace

from drills.waiting import DEADLINE


@dataclass(frozen=True)
class Answer:
    """What came back. reset: whether the connection was torn down instead of closed."""

    status: int
    text: str
    reset: bool = False


def connect(port: int) -> socket.socket:
    """An open connection."""
    return socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)


def read_answer(connection: socket.socket) -> Answer:
    """Read until the server closes; status 0 where it closed without an answer."""
    received, reset = bytearray(), False
    try:
        while data := connection.recv(1 << 16):
            received += data
    except ConnectionResetError:
        reset = True
    status = int(received.split(b" ", 2)[1]) if received.startswith(b"HTTP/") else 0
    return Answer(status, received.decode("latin-1"), reset)


def exchange(port: int, request: bytes) -> Answer:
    """Send these bytes, then read until the server closes; the request should ask it to."""
    with connect(port) as connection:
        try:
            connection.sendall(request)
        except (ConnectionResetError, BrokenPipeError):
            return replace(read_answer(connection), reset=True)
        return read_answer(connection)


def head(
    method: str, path: str, *lines: str, host: str = "localhost", keep_alive: bool = False
) -> bytes:
    """The head of a request that asks the server to close the connection afterwards, or not."""
    first = (f"{method} {path} HTTP/1.1", f"Host: {host}")
    last = () if keep_alive else ("Connection: close",)
    return "\r\n".join((*first, *last, *lines, "", "")).encode("latin-1")
