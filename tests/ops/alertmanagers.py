"""A real Alertmanager on a free port, asked and told through its API."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from drills.programs import ask, running
from drills.server import free_port
from project.local_stack import alertmanager
from project.local_stack.configs import Config
from project.local_stack.write_config import write_config
from tests.ops.tools import need


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
