"""`make run` from a fresh folder: it prints where things are, scrapes all of them, is quiet."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from drills.programs import ask, ready
from drills.server import free_port
from drills.waiting import wait_until
from tests.ops.tools import ROOT, need

PORTS = (
    "PORT",
    "WORKER_METRICS_PORT",
    "PROMETHEUS_PORT",
    "ALERTMANAGER_PORT",
    "VALKEY_EXPORTER_PORT",
)
SETTINGS = {
    "MODELS": "classification",
    "WEB_CONCURRENCY": "1",
    "WORKER_PROCESSES": "1",
    "METRICS_TOKEN": "0123456789abcdef",
}


class Run:
    """`make run` in a folder that holds the tree and nothing that was made by running it."""

    def __init__(self, folder: Path) -> None:
        for path in ROOT.iterdir():
            if path.name not in {"var", ".git", ".env"}:
                (folder / path.name).symlink_to(path)
        self.folder = folder
        self.ports = {name: free_port() for name in PORTS}
        variables = {name: str(port) for name, port in self.ports.items()}
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                ["make", "-o", ".venv/.run", "run"],  # what runs is installed where tests are
                cwd=folder,
                env={"PATH": os.environ["PATH"], **SETTINGS, **variables},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def prometheus(self, path: str) -> Any:
        url = f"http://127.0.0.1:{self.ports['PROMETHEUS_PORT']}"
        return ask(f"{url}/api/v1/{path}")["data"] if ready(url) else {}

    def targets(self) -> dict[str, str]:
        """Scrape job → how its last scrape went."""
        found = self.prometheus("targets").get("activeTargets", [])
        return {target["labels"]["job"]: target["health"] for target in found}

    def alerts(self) -> set[tuple[str, str]]:
        """Name and state of each alert that fires, or is about to."""
        found = self.prometheus("alerts").get("alerts", [])
        return {(alert["labels"]["alertname"], alert["state"]) for alert in found}

    def left(self) -> list[psutil.Process]:
        """Processes that run in this folder."""
        inside = str(self.folder)
        found = psutil.process_iter(["cwd"])
        return [process for process in found if process.info["cwd"] == inside]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Iterator[Run]:
    need("prometheus")
    need("alertmanager", "prometheus-alertmanager")
    need("redis_exporter", "prometheus-redis-exporter")
    found = Run(tmp_path_factory.mktemp("tree"))
    try:
        yield found
    finally:
        if found.process.poll() is None:
            os.killpg(found.process.pid, signal.SIGINT)
        found.process.wait(60)
        for process in found.left():
            process.kill()


def test_it_prints_where_to_look(run):
    """Beside the page, for whoever wants to see more."""
    wait_until(lambda: "web.1" in run.log(), "honcho has started")
    lines = [line.split() for line in run.log().splitlines()]
    assert ["Prometheus", f"http://localhost:{run.ports['PROMETHEUS_PORT']}"] in lines
    assert ["Alertmanager", f"http://localhost:{run.ports['ALERTMANAGER_PORT']}"] in lines


def test_everything_is_scraped(run):
    """Each process on the port that it was given, whatever honcho puts into PORT, by its token."""
    everything = {"vitrine-api", "vitrine-worker", "valkey", "prometheus", "alertmanager"}
    wait_until(lambda: run.targets() == dict.fromkeys(everything, "up"), "all targets are up", 120)


def test_all_is_quiet_but_the_watchdog(run):
    """Nothing fires; and what was about to while the models were loading is not any more."""
    fired = set()

    def quiet() -> bool:
        seen = run.alerts()
        fired.update(name for name, state in seen if state == "firing")
        return seen == {("Watchdog", "firing")}

    wait_until(quiet, "only Watchdog is left", 180)
    assert fired == {"Watchdog"}


def test_ctrl_c_leaves_nothing_behind(run):
    """No process, of whichever program."""
    os.killpg(run.process.pid, signal.SIGINT)
    run.process.wait(60)
    wait_until(lambda: run.left() == [], "all processes have ended")
