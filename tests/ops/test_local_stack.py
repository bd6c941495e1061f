"""What `make run` starts beside the API: kept running, told to read again, gone when told to go."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from drills.programs import ready
from drills.server import free_port
from drills.waiting import wait_until
from tests.ops.metrics import sample
from tests.ops.tools import ROOT, need

HASH = "alertmanager_config_hash"


class Monitoring:
    """`python -m project.local_stack` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {"PROMETHEUS_PORT": free_port(), "ALERTMANAGER_PORT": free_port()}
        self.secret = folder / "hook"
        self.secret.write_text("http://127.0.0.1:9/first")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        variables = {name: str(port) for name, port in self.ports.items()}
        variables |= {"JOBS": "off", "ALERT_WEBHOOK_URL_FILE": str(self.secret)}
        log = (self.folder / "log").open("wb")
        with log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "project.local_stack"],
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **variables},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def url(self, variable: str) -> str:
        return f"http://127.0.0.1:{self.ports[variable]}"

    def ready(self) -> bool:
        return all(ready(self.url(variable)) for variable in self.ports)

    def logged(self, event: str) -> bool:
        return event in (self.folder / "log").read_text()

    def children(self) -> dict[str, psutil.Process]:
        """Name → process of what it has started."""
        return {child.name(): child for child in psutil.Process(self.process.pid).children()}

    def hash(self) -> float:
        """Of the configuration that Alertmanager has taken."""
        return sample(self.url("ALERTMANAGER_PORT"), HASH)


@pytest.fixture
def idle(tmp_path) -> Iterator[Monitoring]:
    """Not started yet."""
    need("prometheus")
    need("alertmanager", "prometheus-alertmanager")
    found = Monitoring(tmp_path)
    yield found
    if found.process.poll() is None:
        found.process.terminate()
    found.process.wait(20)


@pytest.fixture
def monitoring(idle) -> Monitoring:
    """Started, and all of it answers."""
    idle.start()
    wait_until(idle.ready, "Prometheus and Alertmanager are ready")
    return idle


def test_what_dies_is_started_again(monitoring):
    """And the other runs on, as does the API in the process beside."""
    children = monitoring.children()
    children["prometheus"].kill()
    wait_until(lambda: monitoring.logged("process_ended"), "the end is noticed")
    wait_until(monitoring.ready, "Prometheus is ready again")
    (other,) = [name for name in children if name != "prometheus"]
    assert monitoring.children()[other] == children[other]


def test_sighup_has_the_secrets_read_again(monitoring):
    """Whoever replaces a key needs no restart, nor to know how the file is made."""
    before = monitoring.hash()
    monitoring.secret.write_text("http://127.0.0.1:9/second")
    os.kill(int((monitoring.folder / "var/monitoring.pid").read_text()), signal.SIGHUP)
    wait_until(lambda: monitoring.hash() != before, "Alertmanager has read the new file")


def test_a_reload_with_a_secret_that_is_gone_is_refused(monitoring):
    """What was read before holds."""
    before = monitoring.hash()
    monitoring.secret.write_text("")
    monitoring.process.send_signal(signal.SIGHUP)
    wait_until(lambda: monitoring.logged("monitoring_reload_refused"), "it is refused")
    assert monitoring.logged("ALERT_WEBHOOK_URL_FILE")
    assert monitoring.hash() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_leaves_nothing_behind(monitoring, number):
    """Neither a process nor its own number."""
    children = monitoring.children().values()
    monitoring.process.send_signal(number)
    assert monitoring.process.wait(20) == 0
    assert not any(child.is_running() for child in children)
    assert not (monitoring.folder / "var/monitoring.pid").exists()
    assert not monitoring.logged("process_killed")


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells of a parent's death")
def test_its_programs_end_with_it(monitoring):
    """Even where it cannot tell them."""
    children = list(monitoring.children().values())
    monitoring.process.kill()
    assert psutil.wait_procs(children, timeout=20)[1] == []


def test_a_port_that_was_taken_meanwhile_costs_what_was_to_listen_there(idle):
    """The process stays, as all others would end with it."""
    with socket.create_server(("127.0.0.1", idle.ports["PROMETHEUS_PORT"])):
        idle.start()
        wait_until(lambda: idle.logged("PROMETHEUS_PORT"), "it says so")
        wait_until((idle.folder / "var/monitoring.pid").exists, "it runs")
        assert idle.children() == {}
    idle.process.terminate()
    assert idle.process.wait(20) == 0
