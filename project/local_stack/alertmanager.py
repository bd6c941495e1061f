"""Alertmanager on this machine: its configuration and its command line."""

from pathlib import Path

from project.local_stack.configs import STORAGE, alertmanager_config
from project.local_stack.write_config import write_config
from project.settings import Settings

RETENTION_TIME = "120h"  # of expired silences and of the notification log
CONFIG = "alertmanager/alertmanager.yml"  # in the storage folder, beside the data


def write(settings: Settings, *, storage: Path = STORAGE) -> Path:
    """Write the configuration, which has secrets; returns its path.

    Raises ConfigurationError where a secret cannot be read.
    """
    return write_config(storage / CONFIG, alertmanager_config(settings))


def command(binary: str, port: int, storage: Path = STORAGE) -> list[str]:
    """The command line: it listens on the loopback alone, without a cluster."""
    return [
        binary,
        f"--config.file={(storage / CONFIG).absolute()}",
        f"--storage.path={(storage / 'alertmanager/data').absolute()}",
        f"--data.retention={RETENTION_TIME}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--web.external-url=http://localhost:{port}",
        "--cluster.listen-address=",
        "--log.level=warn",
    ]
