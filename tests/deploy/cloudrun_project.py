"""A Google Cloud project that is none: where the scripts of deploy/cloudrun run in tests."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from tests.deploy.cloudrun import script
from tests.ops.tools import ROOT

SECONDS = 60


@dataclass
class Project:
    """What the scripts made and said.

    candidate: where a revision answers before it serves. history: of each script, what it called
    and what it said.
    """

    folder: Path
    candidate: str = "http://127.0.0.1:1"
    said: str = ""
    history: list[tuple[list[list[str]], str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Put the programs that stand in for real ones where they are found first."""
        if self.state.exists():
            return
        self.state.mkdir(parents=True)
        self.programs.mkdir()
        code = (ROOT / "tests" / "deploy" / "fake_gcloud.py").read_text()
        for name in ("gcloud", "docker"):
            program = self.programs / name
            program.write_text(f"#!{sys.executable} -IS\n{code}")
            program.chmod(0o755)

    def copy(self, folder: Path) -> "Project":
        """Another project with the same things in it."""
        shutil.copytree(self.folder, folder)
        return Project(folder)

    @property
    def state(self) -> Path:
        """What there is in the project."""
        return self.folder / "state"

    @property
    def programs(self) -> Path:
        """First on PATH."""
        return self.folder / "bin"

    def run(self, name: str, *arguments: str, **variables: str) -> int:
        """Run a script; returns its exit code."""
        (self.state / "calls.jsonl").write_text("")
        given = {
            "PATH": f"{self.programs}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.folder),
            "PROJECT_ID": "some-project",
            "REGION": "europe-west1",
            "REVISION": "abc1234",
            "STAMP": "261101120000",
            "SMOKE_RETRIES": "0",
            "PYTHON": sys.executable,
            "FAKE_STATE": str(self.state),
            "FAKE_CANDIDATE": self.candidate,
        }
        done = subprocess.run(
            [str(script(name)), *arguments],
            env=given | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        self.said = done.stdout
        self.history.append((self.calls(), self.said))
        return done.returncode

    def calls(self) -> list[list[str]]:
        """How programs were called by the last script, in order."""
        lines = (self.state / "calls.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def did(self, *wanted: str) -> list[str]:
        """Those of the wanted words that calls begin with, in the order of the calls."""
        said = [" ".join(call) for call in self.calls()]
        return [words for line in said for words in wanted if line.startswith(words)]

    def secret(self, name: str) -> str:
        """What is kept in a secret."""
        return (self.state / f"secrets_{name}").read_text()

    def applied(self, kind: str, name: str) -> str:
        """A manifest as it was applied."""
        return (self.state / f"run_{kind}_{name}").read_text()


class Candidate(BaseHTTPRequestHandler):
    """A revision that answers what the test wants: path → status."""

    statuses: dict[str, int]
    asked: list[tuple[str, str | None]]

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.asked.append((self.path, self.headers.get("Authorization")))
        self.send_response(self.statuses.get(self.path, 200))
        self.end_headers()
        self.wfile.write(b'{"classes":[]}')

    do_GET = do_POST = _answer  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def answering(**statuses: int) -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """The address of a candidate, and what it was asked. statuses: `ready`, `predictions`."""
    paths = {"ready": "/ready", "predictions": "/v1/models/classification/predictions"}
    asked: list[tuple[str, str | None]] = []
    given = {paths[name]: status for name, status in statuses.items()}
    handler = type("Answering", (Candidate,), {"statuses": given, "asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()
            thread.join()
