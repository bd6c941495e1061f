"""A copy of the source tree with model files added, so that a drill runs what is shipped."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from drills.server import ROOT

FILES = ("prestart.sh", "gunicorn.conf.py", "alembic.ini")
# Compiled modules are copied too, as to compile them again takes seconds; not those being written.
UNFINISHED = shutil.ignore_patterns("*.pyc.*")


def copy_tree(folder: Path, plugins: Sequence[Path]) -> Path:
    """Copy the tree to a new folder; returns the folder. plugins: model files to add."""
    folder.mkdir(parents=True)
    shutil.copytree(ROOT / "project", folder / "project", ignore=UNFINISHED)
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    for path in plugins:
        shutil.copy(path, folder / "project" / "models" / path.name)
    return folder
