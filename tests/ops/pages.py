"""What the pages for people on call speak of: read from their Markdown, and what there is."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import typer.main

from project import cli
from project.settings import Settings
from tests.ops.panels import DASHBOARDS
from tests.ops.tools import ROOT

RUNBOOKS = ROOT / "docs" / "runbooks"
SETTINGS = {name.upper() for name in Settings.model_fields}
# Words in capitals, with an underscore or in backticks, that are no settings of ours.
FOREIGN = {
    *("LOADING", "MISCONF", "NOAUTH", "PONG", "WRONGPASS", "FLUSHALL"),  # Valkey's words
    *("SIGABRT", "SIGILL", "SIGSEGV", "CRITICAL", "T", "D", "R", "NF"),
    *("PYTHONFAULTHANDLER", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
    "MALLOC_",
}
_BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_EVENT = r"\.(?:debug|info|warning|error|critical)\(\s*\"([a-z_]+)\"|\.log\(level, \"([a-z_]+)\""
_PATIENT = r"stack\.callback\(logger\.info, \"([a-z_]+)\"\)"  # said when it is time


@dataclass(frozen=True)
class Page:
    """One file of Markdown."""

    path: Path

    def __str__(self) -> str:
        """Its name in a test's."""
        return self.path.name

    @cached_property
    def text(self) -> str:
        """All of it."""
        return self.path.read_text()

    def blocks(self, kind: str) -> list[str]:
        """The code blocks of a language, without what they are indented by."""
        found = _BLOCK.findall(self.text)
        return [
            "\n".join(map(str.strip, code.splitlines())) for name, code in found if name == kind
        ]

    @cached_property
    def prose(self) -> str:
        """What is left without the code blocks."""
        return _BLOCK.sub("", self.text)

    @cached_property
    def commands(self) -> str:
        """Whatever may hold a command: blocks for a shell, and code in the prose."""
        return "\n".join([*self.blocks("bash"), *self.quoted])

    @cached_property
    def quoted(self) -> list[str]:
        """The code in the prose."""
        return re.findall(r"`([^`\n]+)`", self.prose)

    @property
    def headings(self) -> list[str]:
        """Its headings of the first and second order, with their marks."""
        return re.findall(r"^##? .+$", _BLOCK.sub("", self.text), re.MULTILINE)

    def settings(self) -> set[str]:
        """The settings that it names."""
        quoted = {word.partition("=")[0] for word in self.quoted}
        named = {word for word in quoted if re.fullmatch(r"[A-Z][A-Z0-9_]*", word)}
        named |= set(re.findall(r"\b[A-Z]{2,}(?:_[A-Z]+)+\b", self.prose))
        named |= set(re.findall(r"\$\{?([A-Z_]+)", self.commands))
        return named - FOREIGN

    def events(self) -> set[str]:
        """The events that it looks for in the log."""
        greps = re.findall(r"grep (?:-\w+ )?('[^']+'|\"[^\"]+\"|[a-z_]+)", self.commands)
        patterns = [grep for grep in greps if not grep.startswith('"$')]
        names = {name for grep in patterns for name in re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", grep)}
        return names - _other_words()

    def panels(self) -> list[tuple[str, str]]:
        """The panels that it names, each with its dashboard."""
        return re.findall(r"\*(Overview|API|Inference|Jobs|Runtime) \u203a ([^*]+)\*", self.text)

    def links(self) -> list[str]:
        """Where its relative links lead."""
        return [to for to in re.findall(r"\]\(([^)\s]+)\)", self.prose) if "://" not in to]

    def anchors(self) -> set[str]:
        """What a link into it may end with, as GitHub makes it of its headings."""
        titles = re.findall(r"^#+ (.+)$", _BLOCK.sub("", self.text), re.MULTILINE)
        return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@cache
def source() -> str:
    """All modules of ours."""
    paths = [*sorted((ROOT / "project").rglob("*.py")), ROOT / "gunicorn.conf.py"]
    return "\n".join(path.read_text() for path in paths)


@cache
def events() -> set[str]:
    """Whatever the product logs by name."""
    found = {name for pair in re.findall(_EVENT, source()) for name in pair if name}
    return found | set(re.findall(_PATIENT, source()))


@cache
def _other_words() -> set[str]:
    """What a grep may look for beside events: fields of a line, and what other programs say."""
    bound = re.findall(r"\bbind\(([^)]*)\)", source())
    fields = {name for call in bound for name in re.findall(r"\b([a-z_]+)=", call)}
    served = {"bytes_in", "bytes_out", "duration_seconds", "job_id", "request_id"}
    valkey = {"aof_last_write_status", "aof_last_bgrewrite_status"}
    return fields | served | valkey | {"server_workers", "dramatiq_process"}


@cache
def panels() -> set[tuple[str, str]]:
    """Every panel there is, with its dashboard's name as people say it."""
    return {
        (board["title"].rpartition(" / ")[2], panel["title"])
        for board in DASHBOARDS.values()
        for panel in _flat(board["panels"])
        if panel["type"] != "row"
    }


def _flat(panels: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for panel in panels:
        yield panel
        yield from _flat(panel.get("panels", []))


def unknown_commands(page: Page) -> Iterator[str]:
    """Commands of ours that `python -m project` does not know, or not with such an option."""
    for line in re.findall(r"python -m project((?: [^|;&`\n]+)?)(?![.\w])", page.commands):
        command: Any = typer.main.get_command(cli.app)
        words = line.split()
        while words and getattr(command, "commands", None):
            name = words.pop(0)
            if name not in command.commands:
                yield f"{line.strip()}: no command {name}"
                break
            command = command.commands[name]
        known = {option for param in command.params for option in param.opts} | {"--help"}
        for word in words:
            if word.startswith("--") and word.partition("=")[0] not in known:
                yield f"{line.strip()}: no option {word}"
