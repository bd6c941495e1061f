"""Alertmanager on this machine: what it reads, and how it is started."""

from pathlib import Path

from project.local_stack.configs import STORAGE, alertmanager_config
from project.local_stack.files import write_config
from project.settings import Settings

KEPT_TIME = "120h"  # silences that have ended, and what was notified
CONFIG = "alertmanager/alertmanager.yml"  # in the storage folder, as the data


def write(settings: Settings, *, storage: Path = STORAGE) -> Path:
    """Write what Alertmanager reads, with secrets; returns the path of its configuration.

    Raises ConfigurationError where a secret cannot be read.
    """
    return write_config(storage / CONFIG, alertmanager_config(settings))


def command(binary: str, port: int, storage: Path = STORAGE) -> list[str]:
    """How it is started: for this machine alone, and with no others to gossip with."""
    return [
        binary,
        f"--config.file={(storage / CONFIG).absolute()}",
        f"--storage.path={(storage / 'alertmanager/data').absolute()}",
        f"--data.retention={KEPT_TIME}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--web.external-url=http://localhost:{port}",
        "--cluster.listen-address=",
        "--log.level=warn",
    ]
