"""Paths, the number of cores, and the environment of every process that a benchmark starts."""

import os
from pathlib import Path

import sklearn

from project.resources import read_resources

ROOT = Path(__file__).parent.parent
VAR = ROOT / "var" / "bench"
RESULTS = VAR / "results.json"
PHOTO = Path(sklearn.__file__).parent / "datasets" / "images" / "china.jpg"  # 640 x 427


CORES = read_resources().whole_processors


def environment(**settings: object) -> dict[str, str]:
    """A minimal environment with these settings; nothing else of this machine."""
    home = VAR / "home"
    home.mkdir(parents=True, exist_ok=True)
    base = {
        "PATH": os.environ["PATH"],
        "MODELS": "classification",
        "JOBS": "off",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
    }
    return base | {name: str(value) for name, value in settings.items()}
