"""Node packages that tests use: installed by npm into var/, from a folder with their versions."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OFFLINE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH")


def install(source: Path) -> Path:
    """Install the packages of a folder into var/, unless they are there; returns that folder.

    Skips the test where npm is missing or cannot reach a registry.
    """
    npm, folder = shutil.which("npm"), ROOT / "var" / source.name
    if npm is None:
        pytest.skip("npm is not installed; scripts/install_tools.sh installs it")
    wanted = "".join(path.read_text() for path in sorted(source.glob("*.json")))
    mark = folder / "installed"
    if not mark.exists() or mark.read_text() != wanted:
        shutil.copytree(source, folder, dirs_exist_ok=True)
        verb = (
            ["ci"] if (source / "package-lock.json").exists() else ["install", "--no-package-lock"]
        )
        options = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"]
        options += ["--fetch-retries=0", "--fetch-timeout=20000"]
        done = subprocess.run(
            [npm, *verb, *options], cwd=folder, capture_output=True, text=True, check=False
        )
        if any(word in done.stderr for word in OFFLINE):
            pytest.skip(f"npm reaches no registry: {source.name} is not checked")
        assert done.returncode == 0, done.stderr
        mark.write_text(wanted)
    return folder
