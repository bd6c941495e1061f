"""The monitoring programs that run on this machine: those that are installed and find a free port.

`python -m project preflight` prints the plan, and `python -m project.local_stack` runs it.
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
    """A program to run.

    name: of its scrape job. binaries: names that packagers give it. variable: the setting of its
    port. command: binary and port → command line.
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

    commands: name → command line. urls: title → address. skipped: title → why it does not run.
    """

    commands: dict[str, list[str]]
    urls: dict[str, str]
    skipped: dict[str, str]


def candidates(settings: Settings) -> list[Program]:
    """Prometheus first; the others are of no use without it."""
    programs = [
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
    if settings.jobs and settings.redis_url is None:  # another broker comes with its exporter
        exporter = Program(
            "valkey",
            "Valkey's exporter",
            ("redis_exporter", "prometheus-redis-exporter"),
            "VALKEY_EXPORTER_PORT",
            settings.valkey_exporter_port,
            exporter_command,
        )
        programs.append(exporter)
    return programs


def plan(settings: Settings, find: Callable[[str], str | None] = shutil.which) -> Plan:
    """Plan by what is installed and which ports are free. find: name of a binary → its path."""
    chosen = Plan({}, {}, {})
    if settings.monitoring == "off":
        return chosen
    taken = {settings.port, settings.metrics_port, settings.worker_metrics_port}
    for program in candidates(settings):
        binary = next(filter(None, map(find, program.binaries)), None)
        if binary is None:
            chosen.skipped[program.title] = "not installed: `make tools` installs it"
        elif program.port in taken or not is_free(LOOPBACK, program.port):
            chosen.skipped[program.title] = f"left out: {program.variable}={program.port} is taken"
        else:
            taken.add(program.port)
            chosen.commands[program.name] = program.command(binary, program.port)
            chosen.urls[program.title] = f"http://localhost:{program.port}"
        if not chosen.commands:
            break
    return chosen


def exporter_command(binary: str, port: int, broker: Path = EMBEDDED_BROKER) -> list[str]:
    """The command line of the exporter. broker: Valkey's socket."""
    return [
        binary,
        f"--redis.addr=unix://{broker.absolute()}",
        f"--web.listen-address={LOOPBACK}:{port}",
    ]
