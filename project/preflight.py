"""Checks before a process starts; each problem is one line.

`python -m project.preflight api FOLDER`, or `worker FOLDER`, runs them for prestart.sh, migrates
the database, rotates a large log file and empties the metrics folder.
"""

import asyncio
import errno
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from project.db.schema_version import is_current
from project.errors import ConfigurationError, ProjectError
from project.models import check_names
from project.observability import log_file, multiprocess, worker_slots
from project.observability.logging import configure_logging
from project.processes.ports import LOOPBACKS, probe_port, reachable_host
from project.settings import Settings
from project.settings.loading import load_settings

KINDS = ("api", "worker")


def check(settings: Settings, kinds: Sequence[str] = KINDS) -> None:
    """Raise ConfigurationError for what these processes cannot start with.

    A model without a file, a key that is missing, or a port that is taken.
    """
    check_names(settings.models)
    if "api" in kinds and settings.missing_keys:
        raise ConfigurationError(settings.missing_keys[0])
    if "worker" in kinds:
        check_queues(settings)
    for kind in kinds:
        for variable, port in _ports(settings, kind).items():
            _check_port(settings.host, port, variable)


def check_queues(settings: Settings) -> None:
    """Raise ConfigurationError where JOB_QUEUES names a queue that no model has."""
    unknown = [name for name in settings.job_queues if name not in settings.models]
    if unknown:
        raise ConfigurationError(
            f"JOB_QUEUES: no queue {', '.join(unknown)}; a queue has the name of its model, and "
            f"MODELS names {', '.join(settings.models)}"
        )


def processes(settings: Settings) -> list[str]:
    """Names in the Procfile of the processes that these settings require."""
    if not settings.jobs:
        return ["web"]
    return ["web", "worker"] if settings.redis_url else ["web", "worker", "broker"]


def prepare_database(settings: Settings) -> None:
    """Wait for the database, migrate it to this release, and create the first administrator.

    Raises ConfigurationError, and DatabaseUnavailable after DATABASE_WAIT_SECONDS.
    """
    if settings.needs_database and not is_current(settings):
        from project.db.migrate import upgrade_when_available  # noqa: PLC0415 - slow, rarely needed

        configure_logging(settings)  # each failed attempt is logged
        asyncio.run(upgrade_when_available(settings))
    if settings.auth == "keys" and settings.admin_email:
        from project.accounts.first_administrator import ensure_administrator  # noqa: PLC0415

        configure_logging(settings)
        asyncio.run(ensure_administrator(settings))


def check_reload(old: Settings, new: Settings) -> list[str]:
    """Reasons why a running server cannot change from the old settings to the new, a line each.

    Each would end Gunicorn's arbiter, and leave its workers behind.
    """
    faults = [*new.missing_keys]
    try:
        check_names(new.models)
        if (new.models, new.jobs) != (old.models, old.jobs):
            _check_imports(new.models, jobs=new.jobs)
        if new.needs_database and _stores(new) != _stores(old):
            _check_stores()
        for variable, port in _ports(new).items():
            if port not in _ports(old).values():  # the server itself listens on those
                _check_port(new.host, port, variable)
    except ConfigurationError as error:
        faults.append(str(error))
    return faults


def _check_imports(names: Sequence[str], *, jobs: bool) -> None:
    """Import the models as a worker does, in another process: torch stays out of this one."""
    script = "without_background(create(sys.argv[2:]), jobs=sys.argv[1] == 'True')"
    imports = "from project.models import create, without_background"
    if fault := _fault_of(imports, script, str(jobs), *names):
        raise ConfigurationError(f"MODELS: {fault}")


def _stores(settings: Settings) -> tuple[object, ...]:
    return settings.needs_database, settings.jobs, settings.database_url, settings.storage_url


def _check_stores() -> None:
    """Parse DATABASE_URL and STORAGE_URL as a worker does, also in another process."""
    imports = "from project.db.engine import read_url; from project.storage import make_storage"
    script = "given = load_settings(); read_url(given); make_storage(given)"
    if fault := _fault_of(imports, script):
        raise ConfigurationError(fault)


def _fault_of(imports: str, script: str, *arguments: str) -> str | None:
    """Run a script in another process; returns its error in a line, or None."""
    program = (
        "import sys\n"
        "from project.settings.loading import load_settings\n"
        "from project.errors import ConfigurationError\n"
        f"{imports}\n"
        f"try:\n    {script}\n"
        "except ConfigurationError as error:\n    sys.exit(error.detail)\n"
    )
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return "".join(done.stderr.strip().splitlines()[-1:]) if done.returncode else None


def _ports(settings: Settings, kind: str = "api") -> dict[str, int]:
    ports = {"PORT": settings.port, "METRICS_PORT": settings.metrics_port}
    if kind == "worker":
        ports = {"WORKER_METRICS_PORT": settings.worker_metrics_port if settings.jobs else None}
    return {variable: port for variable, port in ports.items() if port is not None}


def _check_port(host: str, port: int, variable: str) -> None:
    try:
        probe_port(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            advice = f"port {port} is taken; choose another: {variable}={port + 1} make run"
        else:
            advice = f"cannot listen on {host}:{port}: {error.strerror}; see HOST and {variable}"
        raise ConfigurationError(advice) from error


def empty_metrics(directory: Path) -> None:
    """Delete the metrics of a former run.

    Raises ConfigurationError where a running server still writes to the folder.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"cannot create the metrics folder {directory}: {error.strerror}; "
            "set PROMETHEUS_MULTIPROC_DIR to another"
        ) from error
    if worker_slots.in_use(directory):
        raise ConfigurationError(
            f"a running server writes its metrics to {directory}; stop it, "
            "or set PROMETHEUS_MULTIPROC_DIR to another folder"
        )
    multiprocess.empty(directory)


def urls(settings: Settings) -> dict[str, str]:
    """Title → address of what the running server offers."""
    host = reachable_host(settings.host)
    host = "localhost" if host.strip("[]") in LOOPBACKS.values() else host
    root = f"http://{host}:{settings.port}"
    metrics = f"http://{host}:{settings.metrics_port}" if settings.metrics_port else root
    return {
        "page": root,
        **({"API documentation": f"{root}/docs"} if settings.docs else {}),
        "readiness": f"{root}/ready",
        "metrics": f"{metrics}/metrics",
    }


if __name__ == "__main__":
    try:
        check(given := load_settings(), sys.argv[1:2])
        if given.log_file:
            log_file.rotate(given.log_file)
        prepare_database(given)
        empty_metrics(Path(sys.argv[2]))
    except ProjectError as error:
        sys.exit(error.detail)
