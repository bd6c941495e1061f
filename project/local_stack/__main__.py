"""Keeps Prometheus, Alertmanager and Valkey's exporter running: `python -m project.local_stack`.

One parent for all, so that what is scraped and where alerts are sent is decided once, and none of
them takes the API down: whichever ends is started again. SIGHUP has them read their files again.
"""

import asyncio
import os
import signal
import sys

from loguru import logger

from project.errors import ConfigurationError
from project.local_stack import alertmanager, prometheus
from project.local_stack.configs import STORAGE, targets
from project.local_stack.files import write_private
from project.local_stack.programs import Plan, plan
from project.observability.logging import configure_logging
from project.processes.supervise import Child, supervise
from project.settings import Settings
from project.settings.loading import load_settings

PID = "monitoring.pid"  # in the storage folder: who is told by SIGHUP
PATIENCE_SECONDS = 8.0  # for Prometheus to write what it has in memory
READERS = ("prometheus", "alertmanager")  # of files, again on SIGHUP


def write(settings: Settings, running: Plan) -> None:
    """Write what the programs read. Raises ConfigurationError."""
    others = {"alertmanager": "alertmanager" in running.commands}
    addresses = targets(settings, **others, exporter="valkey" in running.commands)
    if "prometheus" in running.commands:
        prometheus.write(settings, addresses)
    if "alertmanager" in running.commands:
        alertmanager.write(settings)


def reload(settings: Settings, running: Plan, children: list[Child]) -> None:
    """Have them read their files, the rules and the secrets again, or keep what they have."""
    try:
        write(settings, running)
    except ConfigurationError as error:
        logger.bind(fault=error.detail).error("monitoring_reload_refused")
        return
    for child in children:
        if child.name in READERS and child.process and child.alive:
            child.process.send_signal(signal.SIGHUP)
    logger.info("monitoring_reloaded")


async def run(settings: Settings, running: Plan) -> None:
    """Keep them running until SIGTERM or SIGINT."""
    own = str(os.getpid())
    bound = [sys.executable, "-m", "project.processes.parent_death", own]
    children = [Child(name, [*bound, *words]) for name, words in running.commands.items()]
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, reload, settings, running, children)
    pid = write_private(STORAGE / PID, f"{own}\n")
    try:
        await supervise(children, stopping, PATIENCE_SECONDS)
    finally:
        pid.unlink(missing_ok=True)


def main() -> None:
    """Run what can run; where a port was taken since the preflight, do without, and stay."""
    settings = load_settings()
    configure_logging(settings)
    running = plan(settings)
    for title, reason in running.notes.items():
        logger.bind(program=title, reason=reason).warning("monitoring_left_out")
    try:
        write(settings, running)
    except ConfigurationError as error:
        sys.exit(error.detail)
    asyncio.run(run(settings, running))


if __name__ == "__main__":
    main()
