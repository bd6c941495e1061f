"""Runs Prometheus, Alertmanager and the Valkey exporter: `python -m project.local_stack`.

One supervisor for all of them, so that scrape targets and the address of alerts are decided once,
and none of them takes the API down: each is restarted when it exits. SIGHUP reloads their
configurations.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Container, Mapping

from loguru import logger

from project.errors import ConfigurationError
from project.local_stack import alertmanager, prometheus
from project.local_stack.configs import STORAGE, targets
from project.local_stack.programs import plan
from project.local_stack.write_config import write_private
from project.observability.logging import configure_logging
from project.processes.supervise import Child, supervise
from project.settings import Settings
from project.settings.loading import load_settings

PID_FILE = "monitoring.pid"  # in the storage folder: the process to send SIGHUP
STOP_SECONDS = 8.0  # for Prometheus to write to disk what it has in memory
RELOADABLE = ("prometheus", "alertmanager")  # programs that reload on SIGHUP


def write_configs(settings: Settings, commands: Container[str]) -> None:
    """Write the configurations of the programs that run. Raises ConfigurationError."""
    if "prometheus" in commands:
        addresses = targets(
            settings, alertmanager="alertmanager" in commands, exporter="valkey" in commands
        )
        prometheus.write(settings, addresses)
    if "alertmanager" in commands:
        alertmanager.write(settings)


def reload(settings: Settings, children: list[Child]) -> None:
    """Reload configurations, rules and secrets; a fault leaves the current ones in force."""
    try:
        write_configs(settings, {child.name for child in children})
    except ConfigurationError as error:
        logger.bind(fault=error.detail).error("monitoring_reload_refused")
        return
    for child in children:
        if child.name in RELOADABLE and child.process and child.alive:
            child.process.send_signal(signal.SIGHUP)
    logger.info("monitoring_reloaded")


async def run(settings: Settings, commands: Mapping[str, list[str]]) -> None:
    """Supervise the programs until SIGTERM or SIGINT."""
    own = str(os.getpid())
    wrapper = [sys.executable, "-m", "project.processes.parent_death", own]
    children = [Child(name, [*wrapper, *command]) for name, command in commands.items()]
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, reload, settings, children)
    pid = write_private(STORAGE / PID_FILE, f"{own}\n")
    try:
        await supervise(children, stopping, STOP_SECONDS)
    finally:
        pid.unlink(missing_ok=True)


def main() -> None:
    """Run what can run. A port taken since the preflight costs its program, not this process."""
    settings = load_settings()
    configure_logging(settings)
    chosen = plan(settings)
    for title, reason in chosen.skipped.items():
        logger.bind(program=title, reason=reason).warning("monitoring_left_out")
    try:
        write_configs(settings, chosen.commands)
    except ConfigurationError as error:
        sys.exit(error.detail)
    asyncio.run(run(settings, chosen.commands))


if __name__ == "__main__":
    main()
