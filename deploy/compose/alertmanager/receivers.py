"""Writes alertmanager.yml for compose.yaml: `python receivers.py FOLDER`, in the product's image.

The shipped file with the receivers whose secret is in the environment, as `make run` does it with
those in files: none is told where none is given.
"""
# ruff: noqa: INP001 - a script, no package

import os
import sys
from pathlib import Path

from project.errors import ConfigurationError
from project.local_stack import alertmanager
from project.local_stack.write_config import write_private
from project.settings import Settings

SECRETS = ("ALERT_PAGERDUTY_KEY", "ALERT_SLACK_URL", "ALERT_WEBHOOK_URL", "ALERT_DEADMAN_URL")


def main(folder: Path) -> None:
    """Write each secret into a file, and the configuration that names those files."""
    given = {name: secret for name in SECRETS if (secret := os.environ.get(name, "").strip())}
    files = {
        f"{name.lower()}_file": write_private(folder / "secrets" / name.lower(), f"{secret}\n")
        for name, secret in given.items()
    }
    # Nothing of this is served, so what is demanded of a server is not to be had.
    settings = Settings(_env_file=None, environment="local", **files)  # type: ignore[arg-type]
    written = alertmanager.write(settings, storage=folder)
    print(f"{written}: {', '.join(given) or 'nobody is told of alerts'}")  # noqa: T201


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except ConfigurationError as error:
        sys.exit(error.detail)
