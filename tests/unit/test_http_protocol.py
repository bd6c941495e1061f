"""The protocol of HTTP/1.1: a request that arrives slowly ends, and none has two answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from uvicorn.config import Config
from uvicorn.server import Server

from project.server.protocol import BoundedProtocol

pytestmark = pytest.mark.anyio
SECONDS = 10.0  # until it is a failure
SOON = 0.05
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
WHOLE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def answer_at_once(scope, receive, send) -> None:
    """Answer without a look at the body."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def begin(scope, receive, send) -> None:
    """Begin an answer, and end it with the request."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok", "more_body": True})
    while (await receive()).get("more_body"):
        pass


async def read(scope, receive, send) -> None:
    """Answer once the body is complete."""
    while (message := await receive()).get("more_body"):
        pass
    if message["type"] == "http.request":
        await answer_at_once(scope, receive, send)


@asynccontextmanager
async def connected(
    app, arrival_seconds: float = SECONDS
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a server that waits so long for a request to arrive."""
    server = Server(Config(app, lifespan="off", http=BoundedProtocol, timeout_keep_alive=60))
    server.config.load()

    def make() -> BoundedProtocol:
        protocol = BoundedProtocol(server.config, server.server_state, {})
        protocol.arrival_seconds = arrival_seconds
        protocol.discard_seconds = arrival_seconds
        return protocol

    listening = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
    try:
        async with asyncio.timeout(SECONDS):
            yield reader, writer
    finally:
        writer.close()
        listening.close()


async def answers(reader: asyncio.StreamReader) -> list[bytes]:
    """The status lines until the connection is closed, or reset for want of reading."""
    received = b""
    with suppress(ConnectionResetError):
        while piece := await reader.read(1 << 16):
            received += piece
    return [b"HTTP/1.1 " + part.splitlines()[0] for part in received.split(b"HTTP/1.1 ")[1:]]


async def answers_while_sending(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, piece: bytes
) -> list[bytes]:
    """What is answered until the connection ends, while a piece is sent again and again."""
    ending = asyncio.create_task(answers(reader))
    while not ending.done():
        writer.write(piece)
        await asyncio.wait([ending], timeout=SOON / 5)
    return await ending


@pytest.mark.parametrize("start", [b"GET /", WHOLE[:20], CHUNKED[:-2] + b"X: "])
async def test_a_head_that_does_not_end_in_time_is_disconnected(start):
    """However regularly its bytes come: what counts is since when."""
    async with connected(read, arrival_seconds=SOON) as (reader, writer):
        writer.write(start)
        assert await answers_while_sending(reader, writer, b"a") == []


@pytest.mark.parametrize(("app", "count"), [(answer_at_once, 1), (read, 0), (begin, 1)])
async def test_a_body_that_does_not_end_in_time_is_disconnected(app, count):
    """Whether the application reads it, has answered, or is about to."""
    async with connected(app, arrival_seconds=SOON) as (reader, writer):
        writer.write(CHUNKED)
        assert len(await answers_while_sending(reader, writer, b"1\r\na\r\n")) == count


async def test_a_connection_whose_requests_are_complete_is_kept():
    """However long it is silent between them: that is for the keep-alive time-out."""
    async with connected(read, arrival_seconds=SOON) as (reader, writer):
        for _ in range(2):
            writer.write(WHOLE + CHUNKED + b"1\r\na\r\n0\r\n\r\n")
            for _ in range(2):
                assert await reader.readuntil(b"\r\n") == b"HTTP/1.1 200 OK\r\n"
                await reader.readuntil(b"\r\n0\r\n\r\n")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 3 * SOON)


@pytest.mark.parametrize("app", [answer_at_once, begin])
async def test_a_body_that_turns_out_malformed_after_the_answer_has_no_second_one(app):
    """A proxy would take the second for the answer to somebody else's request."""
    async with connected(app) as (reader, writer):
        writer.write(CHUNKED)
        await reader.readuntil(b"ok")
        writer.write(b"zz\r\n\r\n")
        assert await answers(reader) == []


async def test_a_malformed_body_has_the_answer_that_says_so():
    """Nothing else was sent before."""
    async with connected(read) as (reader, writer):
        writer.write(CHUNKED)
        await writer.drain()
        writer.write(b"zz\r\n\r\n")
        assert await answers(reader) == [b"HTTP/1.1 400 Bad Request"]


async def test_malformed_bytes_behind_a_request_do_not_answer_it():
    """Its own answer is due first; as none can follow, both end with the connection."""
    async with connected(read) as (reader, writer):
        writer.write(CHUNKED + b"1\r\na\r\n0\r\n\r\n" + b"nonsense\r\n\r\n")
        assert await answers(reader) == []
