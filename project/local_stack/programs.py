"""Which programs of monitoring run on this machine: those that are installed, on ports of theirs.

`python -m project preflight` says it, and `python -m project.local_stack` does it.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from project.local_stack import alertmanager, prometheus
from project.processes.ports import LOOPBACK, is_free
from project.settings import Settings
from project.settings.jobs import EMBEDDED_BROKER


@dataclass(frozen=True)
class Program:
    """One that these settings want.

    name: as the scrape jobs have it. binaries: what it may be called. variable: of its port.
    command: how it is started, given its binary and port.
    """

    name: str
    title: str
    binaries: tuple[str, ...]
    variable: str
    port: int
    command: Callable[[str, int], list[str]]


@dataclass(frozen=True)
class Plan:
    """What runs here.

    commands: name → how it is started. urls: title → where it is. notes: title → why it is not.
    """

    commands: dict[str, list[str]]
    urls: dict[str, str]
    notes: dict[str, str]


def wanted(settings: Settings) -> list[Program]:
    """Prometheus, then those that are of no use without it."""
    found = [
        Program(
            "prometheus",
            "Prometheus",
            ("prometheus",),
            "PROMETHEUS_PORT",
            settings.prometheus_port,
            prometheus.command,
        ),
        Program(
            "alertmanager",
            "Alertmanager",
            ("alertmanager", "prometheus-alertmanager"),
            "ALERTMANAGER_PORT",
            settings.alertmanager_port,
            alertmanager.command,
        ),
    ]
    if settings.jobs and settings.redis_url is None:  # whoever runs another one runs its exporter
        exporter = Program(
            "valkey",
            "Valkey's exporter",
            ("redis_exporter", "prometheus-redis-exporter"),
            "VALKEY_EXPORTER_PORT",
            settings.valkey_exporter_port,
            export,
        )
        found.append(exporter)
    return found


def plan(settings: Settings, find: Callable[[str], str | None] = shutil.which) -> Plan:
    """Look what is installed and which ports are free. find: name of a binary → its path."""
    chosen = Plan({}, {}, {})
    if settings.monitoring == "off":
        return chosen
    taken = {settings.port, settings.metrics_port, settings.worker_metrics_port}
    for program in wanted(settings):
        binary = next(filter(None, map(find, program.binaries)), None)
        if binary is None:
            chosen.notes[program.title] = "not installed: `make tools` installs it"
        elif program.port in taken or not is_free(LOOPBACK, program.port):
            chosen.notes[program.title] = f"left out: {program.variable}={program.port} is taken"
        else:
            taken.add(program.port)
            chosen.commands[program.name] = program.command(binary, program.port)
            chosen.urls[program.title] = f"http://localhost:{program.port}"
        if not chosen.commands:
            break
    return chosen


def export(binary: str, port: int, broker: Path = EMBEDDED_BROKER) -> list[str]:
    """How the exporter of the Valkey on a socket is started."""
    return [
        binary,
        f"--redis.addr=unix://{broker.absolute()}",
        f"--web.listen-address={LOOPBACK}:{port}",
    ]
