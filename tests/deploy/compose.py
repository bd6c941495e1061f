"""Reads deploy/compose/compose.yaml as Docker does: anchors merged, variables filled in."""

import re
import shutil
import subprocess
import tempfile
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values
from podman_compose import rec_subs

from tests.ops.tools import ROOT

FOLDER = ROOT / "deploy/compose"
PRODUCT = ("api", "worker")  # the services that run the product's image
# What the image itself sets; see its contract in the Dockerfile.
IMAGE = {
    "ENVIRONMENT": "production",
    "HOST": "0.0.0.0",
    "PORT": "8000",
    "CACHE_DIR": "/app/cache",
    "PROMETHEUS_MULTIPROC_DIR": "/tmp/metrics",
}
UNITS = {"k": 2**10, "m": 2**20, "g": 2**30}


def make_env(folder: Path) -> Path:
    for name in (".env.example", "fill-env.sh"):
        shutil.copy(FOLDER / name, folder / name)
    subprocess.run([folder / "fill-env.sh"], check=True, capture_output=True)
    return folder / ".env"


@cache
def variables() -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        return {name: value or "" for name, value in dotenv_values(make_env(Path(folder))).items()}


@cache
def config() -> dict[str, Any]:
    text = (FOLDER / "compose.yaml").read_text(encoding="utf-8")
    return rec_subs(yaml.safe_load(text), variables())


# Before any test runs; `config` takes seconds.
NAMES = [*yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))["services"]]


def services() -> dict[str, Any]:
    return config()["services"]


def environment(name: str) -> dict[str, str]:
    return IMAGE | services()[name]["environment"]


def seconds(text: str) -> float:
    amounts = dict.fromkeys("hms", 0)
    amounts |= {unit: int(amount) for amount, unit in re.findall(r"(\d+)([hms])", text)}
    return timedelta(hours=amounts["h"], minutes=amounts["m"], seconds=amounts["s"]).total_seconds()


def memory(name: str) -> int:
    text = services()[name]["deploy"]["resources"]["limits"]["memory"]
    return int(text[:-1]) * UNITS[text[-1]]
