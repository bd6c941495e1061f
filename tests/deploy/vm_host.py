"""A machine to install on: a folder that replaces /, and fake programs that record their calls."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.deploy.command import run
from tests.deploy.vm_files import VM
from tests.ops.tools import need

RECORD = """words="${0##*/} $*"; echo "${words//$'\\n'/ }" >>"$CALLS"\n"""
SILENT = ("apt-get", "useradd", "chown", "nginx", "journalctl", "runuser", "dpkg")
FAKES = dict.fromkeys(SILENT, "") | {
    "id": "[ $# -eq 2 ] && exit 1 || echo 0\n",  # `id -u vitrine`: does not exist yet
    "systemd-run": "exit ${MIGRATION:-0}\n",
    "valkey-cli": "exit 1\n",  # no server
    "redis-cli": "exit 1\n",
    "apt-cache": 'echo "  Candidate: ${CANDIDATE:-5:7.0.15-1}"\n',
    "make": 'mkdir -p "$3/.venv/bin" && ln -sf /bin/true "$3/.venv/bin/python"\n',
    "systemctl": """
case "$1" in
  is-active) exit 1 ;;
  restart) [ ! -e "$ROOT/broken-$(basename "$(readlink "$ROOT/opt/vitrine/current")")" ] ;;
esac
""",
}


class Host:
    """root: replaces /. source: a checkout whose HEAD can be released."""

    def __init__(self, folder: Path, release: str = "debian 12") -> None:
        self.root = folder / "root"
        self.source = folder / "source"
        self._bin = folder / "bin"
        self._calls = folder / "calls"
        for folder_ in ("etc/nginx/sites-enabled", "etc/valkey", "var/lib", "var/log", "var/www"):
            (self.root / folder_).mkdir(parents=True)
        name, version = release.split()
        (self.root / "etc/os-release").write_text(f'ID={name}\nVERSION_ID="{version}"\n')
        (self.root / "etc/valkey/valkey.conf").write_text("port 6379\n")
        (self.root / "etc/nginx/sites-enabled/default").write_text("")
        self._bin.mkdir()
        for program, body in FAKES.items():
            self.fake(program, body)
        shutil.copytree(VM, self.source / "deploy/vm")
        prestart = self.source / "prestart.sh"
        prestart.write_text('#!/bin/sh\necho "$PWD $REVISION $*"\n')
        prestart.chmod(0o755)
        self._git("init", "--quiet")
        self.commit("first")

    def fake(self, program: str, body: str) -> None:
        path = self._bin / program
        path.write_text(f"#!/bin/bash\n{RECORD}{body}")
        path.chmod(0o755)

    def _git(self, *words: str) -> str:
        names = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
        done = run(need("git"), *names, "-C", self.source, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self, message: str) -> str:
        (self.source / "CHANGE").write_text(message)
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", message)
        return self._git("rev-parse", "--short=12", "HEAD")

    def run(self, script: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        path = f"{self._bin}{os.pathsep}{os.environ['PATH']}"
        environment = {"PATH": path, "ROOT": str(self.root), "CALLS": str(self._calls), **more}
        command = [str(self.source / "deploy/vm" / script), *words]
        return run(*command, env=environment, timeout=60)

    def deploy(self, **more: str) -> subprocess.CompletedProcess[str]:
        return self.run("release.sh", "deploy", str(self.source), **more)

    def calls(self, *programs: str) -> list[str]:
        """The calls of some programs since the last time that this was asked."""
        text = self._calls.read_text() if self._calls.exists() else ""
        self._calls.unlink(missing_ok=True)
        return [line for line in text.splitlines() if line.split()[0] in programs]

    def link(self, name: str) -> str:
        return (self.root / "opt/vitrine" / name).readlink().name

    def releases(self) -> set[str]:
        return {path.name for path in (self.root / "opt/vitrine/releases").iterdir()}
