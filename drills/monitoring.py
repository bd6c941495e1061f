"""Prometheus, Alertmanager and the Valkey exporter with the shipped files, in scaled time."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import yaml

from drills.programs import NotInstalled, binary, running
from drills.prometheus import Prometheus
from drills.receiver import Receiver
from drills.scaled import duration, scaled
from drills.server import Server, free_port
from drills.valkey import Valkey
from drills.waiting import wait_until
from project.local_stack import alertmanager, prometheus
from project.local_stack.configs import SHIPPED, alertmanager_config, prometheus_config, targets
from project.local_stack.programs import exporter_command
from project.local_stack.write_config import write_config
from project.settings import Settings

PROMETHEUS = ("prometheus",)  # names of the binary, also below
ALERTMANAGER = ("alertmanager", "prometheus-alertmanager")
EXPORTER = ("redis_exporter", "prometheus-redis-exporter")
WEBHOOK, DEADMAN = "/webhook", "/deadman"
# Flags of Prometheus that are durations, and their defaults: the age up to which a sample counts,
# and the interval at which a firing alert is sent again.
FLAGS = {"query.lookback-delta": "5m", "rules.alert.resend-delay": "1m"}


@contextmanager
def monitoring(
    folder: Path,
    factor: float,
    receiver: Receiver,
    api: Server,
    worker_port: int,
    valkey: Valkey,
) -> Iterator[Prometheus]:
    """Monitor a stack as `make run` does, but `factor` times as fast, and notify the receiver.

    Yields Prometheus once every target is up. Raises NotInstalled.
    """
    for name, path in (("webhook", WEBHOOK), ("deadman", DEADMAN)):
        (folder / name).write_text(receiver.url(path))
    settings = Settings(
        _env_file=None,
        port=api.port,
        worker_metrics_port=worker_port,
        prometheus_port=free_port(),
        alertmanager_port=free_port(),
        valkey_exporter_port=free_port(),
        alert_webhook_url_file=folder / "webhook",
        alert_deadman_url_file=folder / "deadman",
    )
    with ExitStack() as stack:
        manager = f"http://127.0.0.1:{settings.alertmanager_port}"
        config = scaled(alertmanager_config(settings), factor)
        write_config(folder / alertmanager.CONFIG, config)
        found = binary(*ALERTMANAGER)
        command = alertmanager.command(found, settings.alertmanager_port, folder)
        stack.enter_context(running(command, manager, log=folder / "alertmanager.log"))

        exporter = stack.enter_context(_exporter(folder, settings, valkey))
        write_prometheus(folder, settings, factor, exporter=exporter)
        url = f"http://127.0.0.1:{settings.prometheus_port}"
        command = prometheus.command(binary(*PROMETHEUS), settings.prometheus_port, folder)
        command += [f"--{flag}={duration(value, factor)}" for flag, value in FLAGS.items()]
        stack.enter_context(running(command, url, log=folder / "prometheus.log"))
        client = Prometheus(url)
        wait_until(lambda: set(client.targets().values()) == {"up"}, "every target is up")
        yield client


def write_prometheus(folder: Path, settings: Settings, factor: float, *, exporter: bool) -> Path:
    """Write the shipped prometheus.yml and rules, scaled; returns the path of prometheus.yml."""
    for path in [*SHIPPED.glob("rules/*.yml"), *SHIPPED.glob("alerts/*.yml")]:
        rules = scaled(yaml.safe_load(path.read_text(encoding="utf-8")), factor)
        write_config(folder / path.parent.name / path.name, rules)
    addresses = targets(settings, exporter=exporter)
    config = prometheus_config(settings, addresses=addresses, rules=folder, storage=folder)
    return write_config(folder / prometheus.CONFIG, scaled(config, factor))


@contextmanager
def _exporter(folder: Path, settings: Settings, valkey: Valkey) -> Iterator[bool]:
    """Run the Valkey exporter where it is installed; yields whether it is."""
    try:
        found = binary(*EXPORTER)
    except NotInstalled:
        yield False
        return
    port = settings.valkey_exporter_port
    command = exporter_command(found, port, valkey.socket)
    url = f"http://127.0.0.1:{port}"
    with running(command, url, path="/health", log=folder / "exporter.log"):
        yield True
