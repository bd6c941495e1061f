"""Two instances of the product behind nginx of deploy/vm, under requests while they restart."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from drills.server import Server, await_ready, end, free_port, launch
from drills.waiting import wait_until
from tests.conftest import picture
from tests.deploy.vm_files import directive, env_file
from tests.deploy.vm_nginx import Nginx, prepare, running
from tests.services.quick_app import PATH
from tests.services.server import QUICK_APP

CLIENTS = 3
BROKEN_OFF = 0  # in the place of a status, where an answer broke off
DELAY_SECONDS = 1.5  # SHUTDOWN_DELAY_SECONDS, shortened
KEEPALIVE_SECONDS = 1  # of nginx, which must be less


class Machine:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.instances: dict[int, Server] = {}
        self.ports = (free_port(), free_port())
        self.nginx: Nginx = prepare(folder / "nginx", self.ports, {"rate=50r/s": "rate=9999r/s"})
        upstream = self.nginx.folder / "upstream.conf"
        shipped = directive("keepalive_timeout", "upstream.conf")
        text = upstream.read_text()
        upstream.write_text(text.replace(f"timeout {shipped};", f"timeout {KEEPALIVE_SECONDS}s;"))

    def start(self, port: int) -> Server:
        folder = self.folder / str(port)
        folder.mkdir(exist_ok=True)
        shipped = env_file("vitrine.env")
        paths = {"CACHE_DIR": folder / "cache", "LOG_FILE": folder / "vitrine.jsonl"}
        own = {"METRICS_PORT": free_port(), "PORT": port, "SHUTDOWN_DELAY_SECONDS": DELAY_SECONDS}
        rest = {"JOBS": "off", "AUTH": "off", "MODELS": "classification", "WEB_CONCURRENCY": "1"}
        settings = {**shipped, **paths, **own, **rest}
        self.instances[port] = launch(folder, app=QUICK_APP, **settings)
        return self.instances[port]

    def restart(self, port: int) -> None:
        """Restart an instance as its unit does: ExecStop, SIGTERM, a start, ExecStartPost."""
        serving = self.nginx.serving(self.ports.index(port))
        serving.unlink()
        self.instances[port].stop()
        await_ready(self.start(port), 200, 1)
        serving.touch()


@pytest.fixture(scope="module")
def machine(tmp_path_factory) -> Iterator[Machine]:
    found = Machine(tmp_path_factory.mktemp("vm"))
    try:
        for port in found.ports:
            found.start(port)
        for server in found.instances.values():
            await_ready(server, 200, 1)
        with running(found.nginx):
            yield found
    finally:
        for server in found.instances.values():
            end(server)


def predict(client: httpx2.Client) -> httpx2.Response:
    return client.post(PATH, content=picture(), headers={"Content-Type": "image/png"})


@contextmanager
def traffic(nginx: Nginx) -> Iterator[Callable[[], list[int]]]:
    """Predictions of a few clients for the length of the body; yields their statuses so far."""
    statuses: list[int] = []
    stop = threading.Event()

    def send() -> None:
        with nginx.client() as client:
            while not stop.wait(0.02):
                try:
                    statuses.append(predict(client).status_code)
                except httpx2.RemoteProtocolError:
                    statuses.append(BROKEN_OFF)

    with ThreadPoolExecutor(CLIENTS) as pool:
        futures = [pool.submit(send) for _ in range(CLIENTS)]
        try:
            yield lambda: list(statuses)
        finally:
            stop.set()
        for future in futures:
            future.result()


def test_a_rolling_restart_fails_no_request(machine):
    with traffic(machine.nginx) as statuses:
        wait_until(lambda: len(statuses()) > 10, "requests are answered")
        for port in machine.ports:
            machine.restart(port)
        before = len(statuses())
        wait_until(lambda: len(statuses()) > before + 10, "they still are")
        found = statuses()
    assert set(found) == {200}, {status: found.count(status) for status in set(found)}
