"""How sessions of live streams end: places are given back, and no client delays a shutdown."""

import asyncio
import json
import signal
import socket
import struct
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect

from drills.server import Server
from drills.waiting import wait_until
from tests.services.server import serve
from tests.services.streams import LIGHT, PATH, dialled, streaming, until_closed, url_of

SESSIONS = 8  # in each of two workers
AT_ONCE = 4
SECONDS = (0, 0, 3, 3)  # that a frame takes, of each session at the shutdown


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    with serve(tmp_path_factory.mktemp("ends"), STREAM_SESSIONS=SESSIONS) as server:
        yield server
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 10  # no task of a session is waited for
        assert "Cancel" not in server.log()
        assert server.records("stream_failed") == []


def active(server: Server) -> float:
    return server.metrics().value("websocket_connections_active")


def outcomes(server: Server) -> Counter[str]:
    return Counter(
        {
            sample.labels["outcome"]: sample.value
            for sample in server.metrics().samples
            if sample.name == "websocket_connections_total"
        }
    )


async def leave(connection: ClientConnection, kind: int) -> None:
    """End a session in one of four ways, three of which are rude."""
    transport = connection.transport
    if kind == 0:
        await connection.close()
    elif kind == 1:
        transport.abort()
    elif kind == 2:  # RST
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
    else:
        transport.write_eof()
        await connection.wait_closed()


async def come_and_go(server: Server, count: int) -> Counter[str]:
    """Open so many sessions, a few at a time, and leave with a frame under way."""
    seen: Counter[str] = Counter()
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with gate:
            connection = await connect(url_of(server, f"{PATH}?seconds=0.01"))
            hello = json.loads(await connection.recv())
            seen[hello["type"]] += 1
            for _ in range(3):
                await connection.send(LIGHT)
            if number % 3 == 0:
                seen[json.loads(await connection.recv())["type"]] += 1
            await leave(connection, number % 4)

    await asyncio.gather(*map(one, range(count)))
    return seen


def test_two_hundred_sessions_leave_no_place_and_no_gauge(server):
    """Closed, aborted, reset or cut: with a frame that computes and one that waits."""
    before, started = outcomes(server), len(server.records("stream_served"))
    seen = asyncio.run(come_and_go(server, 200))
    assert seen == {"hello": 200, "answer": 67}
    wait_until(lambda: active(server) == 0, "every place is given back")
    ended = outcomes(server) - before
    assert sum(ended.values()) == 200
    assert set(ended) == {"closed", "lost"}
    wait_until(lambda: len(server.records("stream_served")) == started + 200, "all are logged")
    for record in server.records("stream_served")[started:]:
        assert record["frames"] == record["answered"] + record["dropped"] + record["rejected"]
    assert [it for it in server.records() if it["severity"] in {"ERROR", "WARNING"}] == []


@pytest.mark.parametrize(
    ("sent", "code", "outcome"),
    [
        (b"\x88\x80\0\0\0\0", 1005, "closed"),  # `ws.close()` of a browser
        (b"\x88\x82\0\0\0\0\x03\xf1", 1009, "closed"),
        (b"\x88\x82\0\0\0\0\x03\xf4", 1012, "closed"),
        (b"\x82\x01a", 1002, "invalid"),  # without a mask
        (None, 1006, "lost"),
    ],
)
def test_a_close_of_the_client_is_told_from_the_others(server, sent, code, outcome):
    """Whichever code it closes with, and also without one."""
    before = outcomes(server)
    with streaming(server) as stream:
        session = stream.hello["session"]
        if sent is None:
            stream.connection.socket.shutdown(socket.SHUT_RDWR)
        else:
            stream.connection.socket.sendall(sent)
        stream.await_close()
    wait_until(lambda: (outcomes(server) - before).total() == 1, "it is counted")
    assert outcomes(server) - before == {outcome: 1}

    def records() -> list[dict]:
        return [it for it in server.records("stream_served") if it["request_id"] == session]

    wait_until(records, "the session is logged")
    assert [(it["close_code"], it["outcome"]) for it in records()] == [(code, outcome)]


def test_beyond_the_limit_a_session_is_told_when_to_come_back(server):
    """1013, with retry_after in the problem; a place that is given back is taken again."""
    limit = 2 * SESSIONS
    before = outcomes(server)
    with ExitStack() as stack:
        accepted = opened = 0
        while accepted < limit:
            connection = stack.enter_context(dialled(server))
            accepted += json.loads(connection.recv())["type"] == "hello"
            opened += 1
        wait_until(lambda: active(server) == accepted, "the gauge shows the open sessions")
        with dialled(server) as connection:
            code, messages = until_closed(connection)
    assert code == 1013
    assert messages[0]["problem"]["status"] == 503
    assert messages[0]["problem"]["retry_after"] == 5
    refused = opened + 1 - accepted
    wait_until(
        lambda: (outcomes(server) - before)["refused"] == refused, "the refused ones are counted"
    )
    wait_until(lambda: active(server) == 0, "every place is given back")
    with streaming(server) as stream:
        assert stream.ask(LIGHT)["frame"] == 1


def test_streams_and_requests_do_not_starve_each_other(server):
    """Each of them gets its share of a model that both keep busy."""
    with ThreadPoolExecutor(12) as threads:
        end = time.monotonic() + 2.0

        def stream() -> list[int]:
            ages = []
            with streaming(server, f"{PATH}?seconds=0.02") as session:
                while time.monotonic() < end:
                    ages.append(session.ask(LIGHT)["age"])
            return ages

        def post() -> list[int]:
            headers = {"Content-Type": "image/png"}
            statuses = []
            with httpx2.Client(base_url=server.url, headers=headers) as client:
                while time.monotonic() < end:
                    path = f"{PATH.removesuffix('stream')}predictions?seconds=0.02"
                    statuses.append(client.post(path, content=LIGHT).status_code)
            return statuses

        streams = [threads.submit(stream) for _ in range(AT_ONCE)]
        posts = [threads.submit(post) for _ in range(8)]
        ages = [len(it.result()) for it in streams]
        statuses = [it.result() for it in posts]
    assert {status for it in statuses for status in it} == {200}
    assert min(map(len, statuses)) >= 3
    assert min(ages) >= 3


def test_at_a_reload_and_at_a_shutdown_every_session_gets_1012(tmp_path: Path):
    """Also one whose frame would take longer; the drain does not wait for any of them."""
    with serve(tmp_path) as server, ExitStack() as stack:
        stream = stack.enter_context(streaming(server))
        stream.ask(LIGHT)
        server.reload()  # the old worker serves on until a successor does
        assert stream.await_close()[0] == 1012
        paths = [f"{PATH}?seconds={seconds}" for seconds in SECONDS]
        streams = [stack.enter_context(streaming(server, path)) for path in paths]
        for stream in streams:
            stream.send(LIGHT)
        assert streams[0].receive()["frame"] == 1
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        assert [stream.await_close()[0] for stream in streams] == [1012] * len(streams)
        told = time.monotonic() - began
        assert server.wait(20) == 0
        ended = time.monotonic() - began
        assert told < 2
        assert ended < 8
        records = server.records("stream_served")
        assert [record["outcome"] for record in records] == ["restart"] * (1 + len(streams))
