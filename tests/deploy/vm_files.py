"""What deploy/vm sets, read from its files: nothing is repeated in the tests."""

import re
from pathlib import Path

VM = Path(__file__).parents[2] / "deploy" / "vm"
NGINX = VM / "nginx"
UNITS = VM / "systemd"
SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
BYTES = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}

Unit = dict[str, dict[str, list[str]]]


def env_file(name: str) -> dict[str, str]:
    """The variables of a file of deploy/vm/etc; those that are empty there are unset."""
    lines = (VM / "etc" / name).read_text().splitlines()
    pairs = (line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return {name: value for name, value in pairs if value}


def unit(name: str) -> Unit:
    """Section → key → its values in order; systemd lets keys repeat."""
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
    """All that a unit's process finds in its settings: .env, then Environment, then the secrets."""
    pairs = [
        word.replace("%i", instance).split("=", 1)
        for line in unit(name)["Service"]["Environment"]
        for word in line.split()
    ]
    return env_file("vitrine.env") | dict(pairs) | env_file("secrets.env")


def directives(name: str, file: str = "vitrine.conf") -> list[str]:
    """The values of a directive of nginx, wherever it stands in a file."""
    text = re.sub(r"#.*", "", (NGINX / file).read_text())
    return re.findall(rf"\b{name}\s+([^;{{]+);", text)


def seconds(value: str) -> float:
    """A time of nginx, in seconds."""
    number, unit_ = re.fullmatch(r"([0-9]+)([a-z]*)", value).groups()
    return int(number) * SECONDS[unit_ or "s"]


def size(value: str) -> int:
    """A size of nginx, in bytes."""
    number, unit_ = re.fullmatch(r"([0-9]+)([kmg]?)", value).groups()
    return int(number) * BYTES[unit_]
