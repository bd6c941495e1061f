"""A machine to install on: a folder in the place of /, and programs that note their calls."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.deploy.vm_files import VM
from tests.ops.tools import need

NOTE = """words="${0##*/} $*"; echo "${words//$'\\n'/ }" >>"$CALLS"\n"""
FAKES = {
    "apt-get": "",
    "useradd": "",
    "chown": "",
    "nginx": "",
    "journalctl": "",
    "id": "[ $# -eq 2 ] && exit 1 || echo 0\n",  # `id -u vitrine`: not there yet
    "runuser": "",
    "systemd-run": "exit ${MIGRATION:-0}\n",
    "dpkg": "",
    "valkey-cli": "exit 1\n",  # no server there
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
    """calls: what was called, in order. source: a checkout whose HEAD can be released."""

    def __init__(self, folder: Path, release: str = "debian 12") -> None:
        self.root = folder / "root"
        self.source = folder / "source"
        self._bin = folder / "bin"
        self._calls = folder / "calls"
        for place in ("etc/nginx/sites-enabled", "etc/valkey", "var/lib", "var/log", "var/www"):
            (self.root / place).mkdir(parents=True)
        name, version = release.split()
        (self.root / "etc/os-release").write_text(f'ID={name}\nVERSION_ID="{version}"\n')
        (self.root / "etc/valkey/valkey.conf").write_text("port 6379\n")
        (self.root / "etc/nginx/sites-enabled/default").write_text("")
        self._bin.mkdir()
        for program, does in FAKES.items():
            self.fake(program, does)
        shutil.copytree(VM, self.source / "deploy/vm")
        prestart = self.source / "prestart.sh"
        prestart.write_text('#!/bin/sh\necho "$PWD $REVISION $*"\n')
        prestart.chmod(0o755)
        self._git("init", "--quiet")
        self.commit("first")

    def fake(self, program: str, does: str) -> None:
        """Put a program before the real one."""
        path = self._bin / program
        path.write_text(f"#!/bin/bash\n{NOTE}{does}")
        path.chmod(0o755)

    def _git(self, *words: str) -> str:
        names = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
        command = [need("git"), *names, "-C", str(self.source), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, what: str) -> str:
        """Change something; returns the name that its release will have."""
        (self.source / "CHANGE").write_text(what)
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", what)
        return self._git("rev-parse", "--short=12", "HEAD")

    def run(self, script: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a script of the checkout here."""
        path = f"{self._bin}{os.pathsep}{os.environ['PATH']}"
        surroundings = {"PATH": path, "ROOT": str(self.root), "CALLS": str(self._calls), **more}
        command = [str(self.source / "deploy/vm" / script), *words]
        return subprocess.run(
            command, env=surroundings, capture_output=True, text=True, check=False, timeout=60
        )

    def deploy(self, **more: str) -> subprocess.CompletedProcess[str]:
        """Release what the checkout has."""
        return self.run("release.sh", "deploy", str(self.source), **more)

    def calls(self, *programs: str) -> list[str]:
        """What was called since the last question, of some programs."""
        text = self._calls.read_text() if self._calls.exists() else ""
        self._calls.unlink(missing_ok=True)
        return [line for line in text.splitlines() if line.split()[0] in programs]

    def link(self, name: str) -> str:
        """The release that a link points to."""
        return (self.root / "opt/vitrine" / name).readlink().name

    def releases(self) -> set[str]:
        """Those that are there."""
        return {path.name for path in (self.root / "opt/vitrine/releases").iterdir()}
