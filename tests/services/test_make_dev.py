"""`make dev` in a copy of the tree: each change of the source or of .env is served soon."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from drills.server import ROOT, free_port, lives
from drills.source_tree import UNFINISHED
from drills.waiting import wait_until
from tests.commands import PLUGINS

COPIED = ("alembic.ini", "gunicorn.conf.py", "prestart.sh", "Makefile", "Procfile.dev")


class Dev:
    """`make dev` that serves two models of tests/plugins, with jobs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "project", folder / "project", ignore=UNFINISHED)
        for name in COPIED:
            shutil.copy(ROOT / name, folder / name)
        for name in ("mail", "count"):
            shutil.copy(PLUGINS / f"{name}.py", folder / "project" / "models")
        (folder / ".venv").symlink_to(ROOT / ".venv")
        self.port = free_port()
        (folder / ".env").write_text(f"MODELS=mail,count\nPORT={self.port}\n")
        variables = {"PATH": os.environ["PATH"], "WORKER_METRICS_PORT": str(free_port())}
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                ["make", "-o", ".venv/.run", "dev"],  # what runs is installed where tests are
                cwd=folder,
                env=variables,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def get(self, path: str) -> Any:
        """What the server answers; None while it is away."""
        with suppress(httpx2.TransportError):
            answer = httpx2.get(f"http://127.0.0.1:{self.port}{path}")
            return answer.json() if answer.is_success else None
        return None

    def edit(self, old: str, new: str) -> None:
        path = self.folder / "project" / "models" / "mail.py"
        path.write_text(path.read_text().replace(old, new))

    def left(self) -> list[psutil.Process]:
        """Processes that run in this folder."""
        inside = str(self.folder)
        found = psutil.process_iter(["cwd"])
        return [process for process in found if process.info["cwd"] == inside and lives(process)]


@pytest.fixture(scope="module")
def dev(tmp_path_factory) -> Iterator[Dev]:
    dev = Dev(tmp_path_factory.mktemp("tree"))
    try:
        wait_until(lambda: dev.get("/ready"), "the server is ready")
        yield dev
    finally:
        if dev.process.poll() is None:
            os.killpg(dev.process.pid, signal.SIGINT)
        dev.process.wait(60)
        for process in dev.left():
            process.kill()


def summary(dev: Dev) -> str | None:
    answer = dev.get("/v1/models/mail")
    return answer and answer["summary"]


def test_a_change_of_a_model_is_served_soon(dev):
    """And the job workers have it as well."""
    assert summary(dev) == "Whether a text is spam."
    dev.edit("Whether a text is spam.", "Ham or spam.")
    wait_until(lambda: summary(dev) == "Ham or spam.", "the new summary is served")
    assert dev.log().count("project/models/mail.py changed: starting again") == 2


def test_a_slip_of_the_pen_is_shown_and_the_next_change_mends_it(dev):
    """Nothing ends for good."""
    dev.edit("class Mail(", "class Mail((")
    wait_until(lambda: "SyntaxError" in dev.log(), "the fault is in the log")
    dev.edit("class Mail((", "class Mail(")
    wait_until(lambda: summary(dev) == "Ham or spam.", "the model is served again")


def test_a_change_of_the_settings_is_served_soon(dev):
    """Those of .env."""
    settings = dev.folder / ".env"
    settings.write_text(settings.read_text().replace("mail,count", "mail"))

    def names() -> list[str]:
        return [model["name"] for model in (dev.get("/v1/models") or {"models": []})["models"]]

    wait_until(lambda: names() == ["mail"], "one model is served")


def test_ctrl_c_leaves_nothing_behind(dev):
    """No process, of whichever program."""
    os.killpg(dev.process.pid, signal.SIGINT)
    dev.process.wait(60)
    wait_until(lambda: dev.left() == [], "all processes have ended")
