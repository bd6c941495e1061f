"""A real Alertmanager on a free port, asked and told through its API."""

import json
import socket
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

from drills.waiting import wait_until
from project.monitoring import alertmanager
from project.monitoring.configs import Config
from project.monitoring.files import write_config
from tests.ops.tools import need


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def ask(url: str, body: object = None) -> Any:
    """GET, or POST something as JSON; returns what JSON came back, if any."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read()
    return json.loads(text) if text.startswith((b"{", b"[")) else None


def ready(url: str) -> bool:
    """Whether it answers there."""
    try:
        ask(f"{url}/-/ready")
    except URLError:
        return False
    return True


@contextmanager
def running(command: list[str], url: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program that says at /-/ready when it is; what it logs is shown with a failed test."""
    with subprocess.Popen(command) as process:
        try:
            wait_until(lambda: ready(url) or process.poll() is not None, f"{command[0]} is ready")
            assert process.poll() is None
            yield process
        finally:
            process.terminate()


@dataclass(frozen=True)
class Alertmanager:
    """One that runs."""

    url: str
    port: int

    def post(self, *alerts: Mapping[str, str]) -> None:
        """Have alerts fire. alerts: their labels."""
        ask(f"{self.url}/api/v2/alerts", [{"labels": dict(labels)} for labels in alerts])

    def inhibited(self) -> set[tuple[str, str]]:
        """Name and severity of the alerts that are silenced by others."""
        return {
            (alert["labels"]["alertname"], alert["labels"]["severity"])
            for alert in ask(f"{self.url}/api/v2/alerts")
            if alert["status"]["inhibitedBy"]
        }


@contextmanager
def alertmanagers(folder: Path, config: Config) -> Iterator[Alertmanager]:
    """Run one with a configuration."""
    binary = need("alertmanager", "prometheus-alertmanager")
    port = free_port()
    write_config(folder / alertmanager.CONFIG, config)
    url = f"http://127.0.0.1:{port}"
    with running(alertmanager.command(binary, port, folder), url):
        yield Alertmanager(url, port)
