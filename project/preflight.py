"""What can be known to fail before a server starts, said in one line each.

`python -m project.preflight FOLDER` checks that, empties the metrics folder and begins another log
file where the last one is long, for prestart.sh.
"""

import errno
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from project.configuration import load_settings
from project.errors import ConfigurationError
from project.models import check_names
from project.observability import log_file, multiprocess
from project.server import slots
from project.settings import Settings


def check(settings: Settings) -> None:
    """Raise ConfigurationError where a model has no file or a port is taken."""
    check_names(settings.models)
    for variable, port in _ports(settings).items():
        _check_port(settings.host, port, variable)


def faults(old: Settings, new: Settings) -> list[str]:
    """What speaks against a running server's going from the old settings to the new, a line each.

    Gunicorn's arbiter would end at either, and leave its workers behind.
    """
    found = []
    try:
        check_names(new.models)
        if new.models != old.models:
            _check_imports(new.models)
        for variable, port in _ports(new).items():
            if port not in _ports(old).values():  # those are taken by the server itself
                _check_port(new.host, port, variable)
    except ConfigurationError as error:
        found.append(str(error))
    return found


def _check_imports(names: Sequence[str]) -> None:
    """Import the models as a worker will, in another process: torch stays out of this one."""
    script = (
        "import sys\n"
        "from project.errors import ConfigurationError\n"
        "from project.models import create\n"
        "try:\n    create(sys.argv[1:])\n"
        "except ConfigurationError as error:\n    sys.exit(error.detail)\n"
    )
    command = [sys.executable, "-c", script, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:]
        raise ConfigurationError("MODELS: " + "".join(last))


def _ports(settings: Settings) -> dict[str, int]:
    ports = {"PORT": settings.port, "METRICS_PORT": settings.metrics_port}
    return {variable: port for variable, port in ports.items() if port is not None}


def _check_port(host: str, port: int, variable: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                advice = f"port {port} is taken; choose another: {variable}={port + 1} make run"
            else:
                advice = (
                    f"cannot listen on {host}:{port}: {error.strerror}; see HOST and {variable}"
                )
            raise ConfigurationError(advice) from error


def empty_metrics(directory: Path) -> None:
    """Delete the metrics of a former run.

    Raises ConfigurationError where a server still counts there: its numbers would be torn out.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"cannot make the metrics folder {directory}: {error.strerror}; "
            "name another in PROMETHEUS_MULTIPROC_DIR"
        ) from error
    if slots.is_shared(directory):
        raise ConfigurationError(
            f"a running server keeps its metrics in {directory}; stop it, "
            "or name another folder in PROMETHEUS_MULTIPROC_DIR"
        )
    multiprocess.empty(directory)


def urls(settings: Settings) -> dict[str, str]:
    """Where to look once it runs."""
    host = settings.host if settings.host not in {"0.0.0.0", "127.0.0.1", "::"} else "localhost"  # noqa: S104
    root = f"http://{host}:{settings.port}"
    metrics = f"http://{host}:{settings.metrics_port}" if settings.metrics_port else root
    return {
        "page": root,
        "API documentation": f"{root}/docs",
        "readiness": f"{root}/ready",
        "metrics": f"{metrics}/metrics",
    }


if __name__ == "__main__":
    try:
        settings = load_settings()
        check(settings)
        if settings.log_file:
            log_file.bound(settings.log_file)
        empty_metrics(Path(sys.argv[1]))
    except ConfigurationError as error:
        sys.exit(error.detail)
