"""The protocol of WebSockets: a client that does not read holds neither its socket nor the end."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import pytest
from uvicorn.config import Config
from uvicorn.server import Server

from project.server.protocol import BoundedProtocol
from project.server.websocket import BoundedWebSocket

pytestmark = pytest.mark.anyio
SECONDS = 10.0  # until it is a failure
PIECE = b"a" * (1 << 20)
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


PINGS = (b"\x89\xfd" + bytes(4 + 125)) * 1000  # masked, of 125 bytes each


class Impatient(BoundedWebSocket):
    """Waits for less."""

    abort_seconds = 0.05
    close_seconds = 0.2


async def flood(scope, receive, send) -> None:
    """Send more than any buffer holds, to a client that does not read."""
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        await send({"type": "websocket.send", "bytes": PIECE})


async def fill_and_leave(scope, receive, send) -> None:
    """Fill the buffers, then be done."""
    await receive()
    await send({"type": "websocket.accept"})
    try:
        async with asyncio.timeout(0.1):
            while True:
                await send({"type": "websocket.send", "bytes": PIECE})
    except TimeoutError:
        return


async def listen(scope, receive, send) -> None:
    """Wait for the client's end."""
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        pass


@asynccontextmanager
async def serving(app, **options) -> AsyncIterator[tuple[Server, socket.socket]]:
    """A server and a client whose handshake is sent and whose answers nobody reads."""
    given = {"lifespan": "off", "http": BoundedProtocol, "ws": Impatient, "timeout_keep_alive": 1}
    server = Server(Config(app, **given | options))
    server.config.load()
    changes: list[int] = []

    def make() -> BoundedProtocol:
        protocol = BoundedProtocol(server.config, server.server_state, {})
        protocol.on_connections_changed = lambda: changes.append(
            len(server.server_state.connections)
        )
        return protocol

    listening = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    server.servers = [listening]
    server.changes = changes
    with closing(socket.create_connection(listening.sockets[0].getsockname())) as client:
        client.sendall(HANDSHAKE)
        yield server, client
    listening.close()


async def until(condition) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110 - Uvicorn has no event for it
            await asyncio.sleep(0.005)


async def test_a_client_that_reads_nothing_is_aborted_at_an_unanswered_ping():
    """Uvicorn alone would wait until it reads what was sent."""
    async with serving(flood, ws_ping_interval=0.1, ws_ping_timeout=0.1) as (server, _client):
        await until(lambda: server.server_state.tasks)
        await until(lambda: not server.server_state.connections)
        await until(lambda: not server.server_state.tasks)


async def test_it_is_aborted_a_while_after_the_application_is_done():
    """A close frame that nobody reads ends nothing."""
    async with serving(fill_and_leave) as (server, _client):
        await until(lambda: server.server_state.tasks)
        await until(lambda: not server.server_state.tasks)
        assert server.server_state.connections
        await until(lambda: not server.server_state.connections)


@pytest.mark.parametrize("app", [flood, fill_and_leave])
async def test_it_does_not_hold_the_shutdown(app, monkeypatch):
    """Which waits for every connection, also for one whose application ends meanwhile."""
    monkeypatch.setattr(Impatient, "close_seconds", 60)
    async with serving(app, timeout_graceful_shutdown=60) as (server, _client):
        await until(lambda: server.server_state.tasks)
        server.lifespan = server.config.lifespan_class(server.config)
        async with asyncio.timeout(SECONDS):
            await server.shutdown()
        assert not server.server_state.tasks


async def test_the_keep_alive_of_http_does_not_end_it():
    """It is idle by nature, and has pings of its own."""
    async with serving(listen) as (server, client):
        await until(lambda: server.server_state.tasks)
        await asyncio.sleep(1.5)
        assert server.server_state.connections
        client.close()
        await until(lambda: not server.server_state.connections)


async def test_the_connections_are_counted_again_when_it_is_lost():
    """Else this worker would seem to have more than it has, and get none."""
    async with serving(listen) as (server, client):
        await until(lambda: server.server_state.tasks)
        seen = len(server.changes)
        client.close()
        await until(lambda: len(server.changes) > seen)
        assert server.changes[-1] == 0


async def deny(scope, receive, send) -> None:
    """Answer the handshake by plain HTTP."""
    await receive()
    await send({"type": "websocket.http.response.start", "status": 404, "headers": []})
    await send({"type": "websocket.http.response.body", "body": b"no"})


async def test_a_handshake_that_is_answered_by_http_is_no_error(caplog):
    """Uvicorn alone would log one for each, and Sentry would report it."""
    async with serving(deny, log_config=None) as (server, client):
        client.settimeout(0)
        async with asyncio.timeout(SECONDS):
            answer = await asyncio.get_running_loop().sock_recv(client, 100)
        assert answer.startswith(b"HTTP/1.1 404")
        await until(lambda: not server.server_state.tasks)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_client_that_sends_pings_and_reads_no_pong_is_aborted():
    """Every ping is answered, and the answers would fill the memory."""
    async with serving(listen) as (server, client):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
        client.settimeout(0)
        await until(lambda: server.server_state.tasks)
        with pytest.raises(ConnectionError):
            await asyncio.get_running_loop().sock_sendall(client, PINGS * 128)
        await until(lambda: not server.server_state.connections)


async def test_a_client_that_reads_its_pongs_is_served():
    """However many there are in the end."""
    async with serving(listen) as (server, client):
        client.settimeout(0)
        await until(lambda: server.server_state.tasks)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(SECONDS):
            handshake = await loop.sock_recv(client, 1 << 12)
            assert handshake.startswith(b"HTTP/1.1 101")
            for _ in range(20):
                await loop.sock_sendall(client, PINGS)
                left = 127_000
                while left:
                    pongs = await loop.sock_recv(client, left)
                    assert pongs
                    left -= len(pongs)
        assert server.server_state.connections


async def test_a_client_that_sends_a_ping_while_it_reads_a_large_message_is_served():
    """Its own time-out of the connection is no reason to end it."""
    served = asyncio.Event()

    async def send_much(scope, receive, send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": 16 * PIECE})
        if (await receive())["type"] == "websocket.receive":
            served.set()
        await receive()

    async with serving(send_much) as (server, client):
        await until(lambda: server.server_state.tasks)
        for _ in range(3):
            client.sendall(b"\x89\x84\0\0\0\0ping")
        client.sendall(b"\x81\x80\0\0\0\0")
        async with asyncio.timeout(SECONDS):
            await served.wait()
        assert server.server_state.connections


def close_frame(code: int | None = None) -> bytes:
    body = b"" if code is None else code.to_bytes(2, "big")
    return bytes([0x88, 0x80 | len(body), 0, 0, 0, 0]) + body


@pytest.mark.parametrize(
    ("sent", "code", "by_client"),
    [
        (close_frame(1000), 1000, True),
        (close_frame(), 1005, True),
        (close_frame(1009), 1009, True),
        (close_frame(1012), 1012, True),
        (b"\x81\x02a", 1002, False),  # without a mask
        (b"\x81\x82\0\0\0\0\xff\xff", 1007, False),  # no UTF-8
        (b"\x01\x81\0\0\0\0a" + close_frame(1000), 1002, False),  # within a message
        (b"", 1005, False),  # the connection is lost
    ],
)
async def test_a_disconnection_says_whether_the_client_closed(sent, code, by_client):
    """Its code does not: a client may send those that are the server's."""
    received = asyncio.get_running_loop().create_future()

    async def record(scope, receive, send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        received.set_result(await receive())

    async with serving(record) as (server, client):
        await until(lambda: server.server_state.tasks)
        client.sendall(sent) if sent else client.close()
        async with asyncio.timeout(SECONDS):
            message = await received
        assert (message["code"], message["by_client"]) == (code, by_client)


async def test_a_shutdown_is_no_close_of_the_client():
    """Whose 1012 is the server's own."""
    received = asyncio.get_running_loop().create_future()

    async def record(scope, receive, send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        received.set_result(await receive())

    async with serving(record) as (server, _client):
        await until(lambda: server.server_state.tasks)
        for connection in list(server.server_state.connections):
            connection.shutdown()
        async with asyncio.timeout(SECONDS):
            message = await received
        assert (message["code"], message["by_client"]) == (1012, False)
