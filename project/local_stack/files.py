"""Files that hold secrets: written for this user alone, and never seen half written."""

from pathlib import Path

import yaml

from project.errors import ConfigurationError
from project.files import write_atomically
from project.local_stack.configs import Config

HEAD = (
    "# Made from the file of this name in prometheus/ by project/local_stack/; made again on HUP.\n"
)


def write_config(path: Path, config: Config) -> Path:
    """Write a configuration; returns its path."""
    return write_private(path, HEAD + yaml.safe_dump(config, sort_keys=False, allow_unicode=True))


def write_private(path: Path, text: str) -> Path:
    """Put a text in the place of a file, readable by this user; the folder is made if need be.

    Raises ConfigurationError where that cannot be.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, text.encode())
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error
    return path
