"""Prometheus on this machine: its configuration and its command line."""

from collections.abc import Mapping
from pathlib import Path

from project.local_stack.configs import SHIPPED, STORAGE, TOKEN, prometheus_config
from project.local_stack.write_config import write_config, write_private
from project.settings import Settings

RETENTION_TIME = "31d"  # the objectives cover 30 days
RETENTION_SIZE = "1GB"
CONFIG = "prometheus/prometheus.yml"  # in the storage folder, beside the data


def write(
    settings: Settings,
    addresses: Mapping[str, str],
    *,
    rules: Path = SHIPPED,
    storage: Path = STORAGE,
) -> Path:
    """Write the configuration and the scrape token; returns the path of the former.

    addresses, rules, storage: as in `prometheus_config`. Raises ConfigurationError.
    """
    if settings.metrics_token:
        write_private(storage / TOKEN, settings.metrics_token.get_secret_value())
    config = prometheus_config(settings, addresses=addresses, rules=rules, storage=storage)
    return write_config(storage / CONFIG, config)


def command(binary: str, port: int, storage: Path = STORAGE) -> list[str]:
    """The command line: it listens on the loopback alone, as it requires no login."""
    return [
        binary,
        f"--config.file={(storage / CONFIG).absolute()}",
        f"--storage.tsdb.path={(storage / 'prometheus/data').absolute()}",
        f"--storage.tsdb.retention.time={RETENTION_TIME}",
        f"--storage.tsdb.retention.size={RETENTION_SIZE}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--web.external-url=http://localhost:{port}",
        "--log.level=warn",
    ]
