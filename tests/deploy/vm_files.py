"""Reads the files of deploy/vm: environment files, units and nginx's directives."""

import re
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.environment import SECRETS
from tests.ops.tools import ROOT

VM = ROOT / "deploy" / "vm"
NGINX = VM / "nginx"
UNITS = VM / "systemd"
SECONDS = {"": 1, "ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
BYTES = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}

Unit = dict[str, dict[str, list[str]]]


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def env_file(name: str) -> dict[str, str]:
    lines = (VM / "etc" / name).read_text().splitlines()
    pairs = (line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return {name: value for name, value in pairs if value}


def unit(name: str) -> Unit:
    """Section to key to its values in order; systemd lets keys repeat."""
    found: Unit = {}
    section = ""
    for line in (UNITS / name).read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
            found[section] = {}
        elif line and not line.startswith("#"):
            key, value = line.split("=", 1)
            found[section].setdefault(key, []).append(value)
    return found


def variables(name: str, instance: str = "") -> dict[str, str]:
    """The environment of a unit's process: .env, then Environment, then the secrets.

    Of those that install.sh makes it has the ones without which no process starts.
    """
    made = {name: SECRETS[name] for name in ("TOKEN_KEYS", "ADMIN_PASSWORD")}
    pairs = [
        word.replace("%i", instance).split("=", 1)
        for line in unit(name)["Service"]["Environment"]
        for word in line.split()
    ]
    found = env_file("vitrine.env") | dict(pairs) | env_file("secrets.env") | made
    unset = " ".join(unit(name)["Service"].get("UnsetEnvironment", [])).split()
    return {name: value for name, value in found.items() if name not in unset}


def directives(name: str, text: str) -> list[str]:
    return re.findall(rf"\b{name}\s+([^;{{]+);", re.sub(r"#.*", "", text))


def directive(name: str, file: str = "vitrine.conf") -> str:
    return directives(name, (NGINX / file).read_text())[0]


def seconds(value: str) -> float:
    number, suffix = re.fullmatch(r"([0-9]+)([a-z]*)", value).groups()
    return int(number) * SECONDS[suffix]


def size(value: str) -> int:
    number, suffix = re.fullmatch(r"([0-9]+)([kmg]?)", value).groups()
    return int(number) * BYTES[suffix]


# The ports of the API's instances, which are also their units' names.
INSTANCES = sorted(set(re.findall(r"127\.0\.0\.1:(\d+)", (NGINX / "upstream.conf").read_text())))
