"""A virtual environment for each peer, on top of the product's own.

A .pth file appends the product's packages after the peer's, so torch, OpenVINO and the weights are
the very same files for all, and nothing is downloaded twice.
"""

import hashlib
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from benchmarks.paths import VAR
from benchmarks.processes import NotRunnable

INSTALL_SECONDS = 600
SHARED = Path(sysconfig.get_path("purelib"))


def python_of(name: str, requirements: Path) -> Path:
    """The interpreter of an environment that holds these requirements, made now if it must be.

    Raises NotRunnable where it cannot be made.
    """
    folder = VAR / "venvs" / name
    python = folder / "bin" / "python"
    stamp = folder / "made-from"
    wanted = hashlib.sha256(requirements.read_bytes() + bytes(SHARED)).hexdigest()
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    print(f"Installing {name}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    _run(sys.executable, "-m", "venv", str(folder))
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (folder / "lib" / version / "site-packages" / "shared.pth").write_text(f"{SHARED}\n")
    pip = (str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    _run(*pip, "--requirement", str(requirements))
    stamp.write_text(wanted)
    return python


def version_in(python: Path, package: str) -> str:
    """The version of a package as that interpreter sees it."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return _run(str(python), "-c", code).strip()


def _run(*command: str) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise NotRunnable(f"not installed within {INSTALL_SECONDS} s") from error
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise NotRunnable(f"not installed: {(errors or [done.stderr.strip()])[-1][:200]}")
    return done.stdout
