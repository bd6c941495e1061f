"""Prometheus on this machine: what it reads, and how it is started."""

from collections.abc import Mapping
from pathlib import Path

from project.local_stack.configs import SHIPPED, STORAGE, TOKEN, prometheus_config
from project.local_stack.files import write_config, write_private
from project.settings import Settings

KEPT_TIME = "31d"  # the objectives look back 30 days
KEPT_SIZE = "1GB"
CONFIG = "prometheus/prometheus.yml"  # in the storage folder, as the data


def write(
    settings: Settings,
    addresses: Mapping[str, str],
    *,
    rules: Path = SHIPPED,
    storage: Path = STORAGE,
) -> Path:
    """Write what Prometheus reads; returns the path of its configuration."""
    if settings.metrics_token:
        write_private(storage / TOKEN, settings.metrics_token.get_secret_value())
    config = prometheus_config(settings, addresses=addresses, rules=rules, storage=storage)
    return write_config(storage / CONFIG, config)


def command(binary: str, port: int, storage: Path = STORAGE) -> list[str]:
    """How it is started, for this machine alone: whoever reaches it reads everything."""
    return [
        binary,
        f"--config.file={(storage / CONFIG).absolute()}",
        f"--storage.tsdb.path={(storage / 'prometheus/data').absolute()}",
        f"--storage.tsdb.retention.time={KEPT_TIME}",
        f"--storage.tsdb.retention.size={KEPT_SIZE}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--web.external-url=http://localhost:{port}",
        "--log.level=warn",
    ]
