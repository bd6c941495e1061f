"""Runs the scripts of deploy/cloudrun against a fake Google Cloud project (fake_gcloud.py)."""

import json
import shutil
import sys
from pathlib import Path

from tests.deploy.cloudrun import FOLDER
from tests.deploy.command import run
from tests.ops.tools import ROOT

KEY = "vitrine_an-api-key-that-must-not-be-seen"


class Project:
    """candidate: the address of a revision before it serves. output: of the last script."""

    def __init__(self, folder: Path) -> None:
        self.candidate = "http://127.0.0.1:1"
        self.output = ""
        self._folder = folder
        self._programs = folder / "bin"
        self.state = folder / "state"
        if not self.state.exists():
            self.state.mkdir(parents=True)
            self._programs.mkdir()
            code = (ROOT / "tests" / "deploy" / "fake_gcloud.py").read_text()
            for name in ("gcloud", "docker"):
                program = self._programs / name
                program.write_text(f"#!{sys.executable} -IS\n{code}")
                program.chmod(0o755)

    def copy(self, folder: Path) -> "Project":
        shutil.copytree(self._folder, folder)
        return Project(folder)

    def run(self, name: str, *arguments: str, **variables: str) -> int:
        (self.state / "calls.jsonl").write_text("")
        environment = {
            "PATH": f"{self._programs}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self._folder),
            "PROJECT_ID": "some-project",
            "REGION": "europe-west1",
            "REVISION": "abc1234",
            "STAMP": "261101120000",
            "SMOKE_RETRIES": "0",
            "SMOKE_KEY": KEY,
            "PYTHON": sys.executable,
            "FAKE_STATE": str(self.state),
            "FAKE_CANDIDATE": self.candidate,
        }
        done = run(FOLDER / name, *arguments, env=environment | variables, timeout=60)
        self.output = done.stdout + done.stderr
        return done.returncode

    def calls(self) -> list[list[str]]:
        lines = (self.state / "calls.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def called(self, *commands: str) -> list[str]:
        """Those of the commands with which calls begin, in the order of the calls."""
        lines = [" ".join(call) for call in self.calls()]
        return [command for line in lines for command in commands if line.startswith(command)]

    def traffic(self) -> str:
        """The traffic of the service: revision, share, tag and address on each line."""
        return (self.state / "traffic").read_text()

    def secret(self, name: str) -> str:
        return (self.state / f"secrets_{name}").read_text()

    def applied(self, kind: str, name: str) -> str:
        return (self.state / f"run_{kind}_{name}").read_text()
