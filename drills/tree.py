"""A copy of the product's tree with model files added, so that a drill serves what is shipped."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from drills.server import ROOT

FILES = ("prestart.sh", "gunicorn.conf.py", "alembic.ini")


def planted(folder: Path, plugins: Sequence[Path]) -> Path:
    """Make the tree in a folder that is not there yet; returns it. plugins: files of models."""
    folder.mkdir(parents=True)
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "project", folder / "project", ignore=ignore)
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    for path in plugins:
        shutil.copy(path, folder / "project" / "models" / path.name)
    return folder
