"""Connections that stay open are shared out over the workers, and one alone has the machine."""

import http.client
from contextlib import ExitStack
from pathlib import Path

import psutil

from drills.server import Server
from drills.waiting import DEADLINE, wait_until
from tests.services.server import serve

CONNECTIONS = 16


def open_connection(server: Server) -> http.client.HTTPConnection:
    """One that a worker has accepted: it has answered."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE)
    connection.request("GET", "/health")
    assert connection.getresponse().read()
    return connection


def connections_of(worker: int, port: int) -> int:
    """How many a worker has."""
    found = psutil.Process(worker).net_connections("tcp")
    return sum(each.status == "ESTABLISHED" and each.laddr.port == port for each in found)


def test_connections_that_stay_open_are_shared_out(tmp_path: Path):
    """Without that the kernel gives one worker most of them, and the rest of the machine idles."""
    with serve(tmp_path, WEB_CONCURRENCY=2) as server, ExitStack() as opened:

        def counts() -> list[int]:
            return [connections_of(worker, server.port) for worker in server.workers()]

        def both_listen() -> bool:
            opened.callback(open_connection(server).close)
            return min(counts()) > 0

        wait_until(both_listen, "each worker has a connection")
        for _ in range(CONNECTIONS):
            opened.callback(open_connection(server).close)
        assert min(counts()) >= CONNECTIONS // 4  # evenly, unless a worker was slow to look


def test_a_worker_that_is_stopped_keeps_no_connection_from_being_served(tmp_path: Path):
    """The others wait a moment for it, and no longer."""
    with serve(tmp_path, WEB_CONCURRENCY=2) as server:
        with ExitStack() as opened:
            for _ in range(4):
                opened.callback(open_connection(server).close)
            stopped = psutil.Process(server.workers()[0])
            stopped.suspend()
            opened.callback(stopped.resume)
            for _ in range(8):
                opened.callback(open_connection(server).close)
        wait_until(
            lambda: not sum(connections_of(pid, server.port) for pid in server.workers()),
            "every connection is closed",
        )
