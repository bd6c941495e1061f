"""The listener: connections go to the worker with the fewest, and none is lost on the way."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from project.server import shared
from project.server.accept_balancing import Listener

GREETING = b"served"


class Greeting(asyncio.Protocol):
    """Says one word and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(GREETING)
        transport.close()


@asynccontextmanager
async def listening(
    defer: Callable[[], bool], sock: socket.socket | None = None, **times: float
) -> AsyncIterator[tuple[Listener, int]]:
    """A listener on a free port of loopback, and the port."""
    with sock or socket.create_server(("127.0.0.1", 0)) as bound:
        bound.settimeout(0)
        made = Listener(bound, Greeting, None, defer, **times)
        made.start()
        try:
            yield made, bound.getsockname()[1]
        finally:
            made.close()
            await made.wait_closed()


async def ask(port: int) -> bytes:
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answer = await reader.read()
        writer.close()
        return answer


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def test_a_connection_is_served():
    """Each that comes, one after the other and together."""

    async def test() -> None:
        async with listening(lambda: False) as (_, port):
            assert await ask(port) == GREETING
            assert await asyncio.gather(*(ask(port) for _ in range(20))) == [GREETING] * 20

    run(test)


def test_a_connection_that_nobody_else_takes_is_served_after_a_moment():
    """The worker with fewer connections may be busy."""
    asked = 0

    def defer() -> bool:
        nonlocal asked
        asked += 1
        return True

    async def test() -> None:
        async with listening(defer) as (_, port):
            assert [await ask(port) for _ in range(3)] == [GREETING] * 3
        assert asked >= 3

    run(test)


def test_another_worker_takes_what_is_left_to_it():
    """Two listeners on one socket: the one that leaves everything gets nothing meanwhile."""
    taken: list[str] = []

    class Noting(Greeting):
        name = ""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            taken.append(self.name)
            super().connection_made(transport)

    class Eager(Noting):
        name = "fewer"

    class Patient(Noting):
        name = "more"

    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0)) as bound, bound.dup() as same:
            for each in (bound, same):
                each.settimeout(0)
            more = Listener(bound, Patient, None, lambda: True, defer_seconds=3600)
            more.start()
            fewer = Listener(same, Eager, None, lambda: False)
            fewer.start()
            port = bound.getsockname()[1]
            assert [await ask(port) for _ in range(5)] == [GREETING] * 5
            for each in (more, fewer):
                each.close()
        assert taken == ["fewer"] * 5

    run(test)


def test_without_descriptors_it_accepts_again_later():
    """The listener pauses instead of spinning."""
    failures = iter([OSError(errno.EMFILE, "Too many open files")])

    class Exhausted(socket.socket):
        def accept(self) -> tuple[socket.socket, Any]:
            for failure in failures:
                raise failure
            return super().accept()

    async def test() -> None:
        sock = Exhausted(socket.AF_INET, socket.SOCK_STREAM)
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        async with listening(lambda: False, sock, retry_seconds=0) as (_, port):
            assert await ask(port) == GREETING
        assert next(failures, None) is None

    run(test)


def test_workers_know_who_has_the_fewest_connections():
    """A worker that listens no more, or has died, is out of the comparison."""
    for slot, count in ((10, 3), (11, 5), (12, 1)):
        shared.publish_connections(slot, count)
    assert shared.fewest_connections(besides=10) == 1
    assert shared.fewest_connections(besides=12) == 3
    shared.publish_connections(12, shared.NOT_LISTENING)
    assert shared.fewest_connections(besides=10) == 5
    shared.clear(11)
    assert shared.fewest_connections(besides=10) == shared.NOT_LISTENING
    shared.clear(10)


def test_workers_know_how_many_steps_the_others_run():
    """One that has just ended a step counts a moment longer; one that has died does not."""
    now = 0.0  # as the clock of a machine that starts in this moment
    shared.register_slot(11)
    one, other = shared.SharedStepCounts(10, lambda: now), shared.SharedStepCounts(11, lambda: now)
    one.publish(2)
    other.publish(1)
    assert one.siblings() == 1
    assert other.siblings() == 2
    other.publish(0)
    assert one.siblings() == 1
    now += 2 * shared.RECENT_SECONDS
    assert one.siblings() == 0
    one.publish(3)
    now += 2 * shared.RECENT_SECONDS
    shared.clear(10)
    assert other.siblings() == 0
