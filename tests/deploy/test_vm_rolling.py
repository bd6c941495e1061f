"""Two instances of the product behind nginx of deploy/vm, restarted one after the other."""

import signal
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
from tests.deploy.vm_files import directives, env_file
from tests.deploy.vm_nginx import NAME, Nginx, prepared, running
from tests.services.quick_app import PATH
from tests.services.server import QUICK_APP

CALLERS = 3
TORN = 0  # an answer that broke off, in the place of a status
DELAY_SECONDS = 1.5  # in the place of SHUTDOWN_DELAY_SECONDS: a test need not wait as long
KEPT_SECONDS = 1  # and of nginx's keepalive_timeout, which must be less


class Machine:
    """The instances by port, and nginx before them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.instances: dict[int, Server] = {}
        self.ports = (free_port(), free_port())
        self.nginx: Nginx = prepared(folder / "nginx", self.ports, {"rate=50r/s": "rate=9999r/s"})
        upstream = self.nginx.folder / "upstream.conf"
        shipped = directives("keepalive_timeout", "upstream.conf")[0]
        text = upstream.read_text()
        upstream.write_text(text.replace(f"timeout {shipped};", f"timeout {KEPT_SECONDS}s;"))

    def start(self, port: int) -> Server:
        """Start an instance with the shipped settings, but for paths and what takes long."""
        folder = self.folder / str(port)
        folder.mkdir(exist_ok=True)
        shipped = env_file("vitrine.env")
        paths = {"CACHE_DIR": folder / "cache", "LOG_FILE": folder / "vitrine.jsonl"}
        own = {"METRICS_PORT": free_port(), "PORT": port, "SHUTDOWN_DELAY_SECONDS": DELAY_SECONDS}
        rest = {"JOBS": "off", "MODELS": "classification", "WEB_CONCURRENCY": "1"}
        settings = {**shipped, **paths, **own, **rest}
        self.instances[port] = launch(folder, app=QUICK_APP, **settings)
        return self.instances[port]

    def restart(self, port: int) -> None:
        """As the unit has it: ExecStop, SIGTERM, a start, and twice ExecStartPost."""
        serving = self.nginx.serving(self.ports.index(port))
        serving.unlink()
        self.instances[port].stop()
        await_ready(self.start(port), 200, 1)
        serving.touch()

    def log(self) -> str:
        """What both have written."""
        return "".join(server.log() for server in self.instances.values())


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


def ask(client: httpx2.Client) -> httpx2.Response:
    """One prediction."""
    return client.post(PATH, content=picture(), headers={"Content-Type": "image/png"})


@contextmanager
def traffic(nginx: Nginx) -> Iterator[Callable[[], list[int]]]:
    """Predictions from a few callers for the length of the body; gives their statuses so far."""
    statuses: list[int] = []
    over = threading.Event()

    def call() -> None:
        with nginx.client() as client:
            while not over.wait(0.02):  # a caller, not a benchmark
                try:
                    statuses.append(ask(client).status_code)
                except httpx2.RemoteProtocolError:
                    statuses.append(TORN)

    with ThreadPoolExecutor(CALLERS) as pool:
        calls = [pool.submit(call) for _ in range(CALLERS)]
        try:
            yield lambda: list(statuses)
        finally:
            over.set()
        for done in calls:
            done.result()


def test_the_callers_address_and_id_are_in_the_log(machine):
    """Not nginx's, though it is nginx that the instance sees."""
    transport = httpx2.HTTPTransport(local_address="127.0.0.5", verify=machine.nginx.context())
    base = f"https://127.0.0.1:{machine.nginx.https}"
    headers = {"Host": NAME, "X-Request-ID": "from-afar"}
    with httpx2.Client(transport=transport, base_url=base, headers=headers) as client:
        answer = ask(client)
    assert answer.status_code == 200, answer.text
    assert answer.headers["X-Request-ID"] == "from-afar"
    wait_until(lambda: "from-afar" in machine.log(), "the request is in the log", 10)
    (line,) = [line for line in machine.log().splitlines() if "from-afar" in line]
    assert '"client": "127.0.0.5"' in line


def test_the_refusal_of_a_large_image_is_the_products_own(machine):
    """It names the limit; nginx's would not know it."""
    most = int(env_file("vitrine.env")["MAX_BODY_BYTES"])
    with machine.nginx.client() as client:
        answer = client.post(PATH, content=bytes(most + 1), headers={"Content-Type": "image/png"})
    assert answer.status_code == 413
    assert f"{most:,} bytes" in answer.json()["detail"]
    assert answer.json()["trace_id"]


def test_no_port_of_nginx_leads_to_the_metrics(machine):
    """Each instance serves them on a port of its own, to which nginx has no way."""
    with machine.nginx.client() as client:
        assert client.get("/metrics").status_code == 404
        assert client.get("/ready").status_code == 200


def test_a_rolling_restart_fails_no_request(machine):
    """One instance after the other goes and comes back, with callers at it all the while."""
    with traffic(machine.nginx) as statuses:
        wait_until(lambda: len(statuses()) > 10, "callers are at it")
        for port in machine.ports:
            machine.restart(port)
        before = len(statuses())
        wait_until(lambda: len(statuses()) > before + 10, "they still are")
        found = statuses()
    assert set(found) == {200}, {status: found.count(status) for status in set(found)}


def test_an_instance_that_is_killed_costs_its_own_requests_alone(machine):
    """The other one has the next ones at once, and what is lost is told as a problem."""
    port = machine.ports[0]
    with traffic(machine.nginx) as statuses:
        wait_until(lambda: len(statuses()) > 10, "callers are at it")
        end(machine.instances[port])
        before = len(statuses())
        wait_until(lambda: len(statuses()) > before + 20, "callers are served")
        found = statuses()
    assert set(found) <= {200, 502, TORN}
    assert found.count(502) + found.count(TORN) <= CALLERS
    assert set(found[-10:]) == {200}
    assert machine.instances[port].process.returncode == -signal.SIGKILL
