"""What the tests of the dashboards read: the committed files, their panels, their queries."""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import promql_parser
import yaml

from project.observability.metrics import exposed
from tests.ops.promql import walk

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "grafana" / "dashboards"
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
# Values that stand for what Grafana puts in; the odd duration shows where it was $__rate_interval.
RATE_INTERVAL = "61s"
MAGIC = {"$__rate_interval": RATE_INTERVAL, "$__range": "3h", "$__interval": "15s"}
TARGET = {"job", "instance"}


@dataclass(frozen=True)
class Panel:
    """A panel, and the dashboard it stands on."""

    dashboard: str
    model: dict[str, Any]

    def __str__(self) -> str:
        """Its name in a test's."""
        return f"{self.dashboard}: {self.model['title']}"


@dataclass(frozen=True)
class Target:
    """One query of a panel."""

    panel: Panel
    model: dict[str, Any]

    def __str__(self) -> str:
        """Its name in a test's."""
        return f"{self.panel} {self.model['refId']}"

    @property
    def tree(self) -> Any:
        """The syntax tree of its expression."""
        return parsed(self.model["expr"])


def panels_of(uid: str) -> list[Panel]:
    """The panels of a dashboard, without the headings of its rows."""
    return [Panel(uid, one) for one in DASHBOARDS[uid]["panels"] if one["type"] != "row"]


def targets_of(uid: str) -> list[Target]:
    """The queries of a dashboard."""
    return [Target(panel, one) for panel in panels_of(uid) for one in panel.model["targets"]]


@cache
def parsed(expr: str) -> Any:
    """A syntax tree, as Grafana would send the query where all is chosen."""
    for name, value in MAGIC.items():
        expr = expr.replace(name, value)
    return promql_parser.parse(re.sub(r"\$\w+|\$\{\w+\}", ".+", expr))


def selectors(tree: Any) -> list[Any]:
    """The vector selectors of a syntax tree."""
    return [node for node, _ in walk(tree) if isinstance(node, promql_parser.VectorSelector)]


def matchers(selector: Any) -> dict[str, str]:
    """What a selector asks of labels."""
    return {matcher.name: matcher.value for matcher in selector.matchers.matchers}


@cache
def series() -> dict[str, set[str]]:
    """Each series that the program exposes, with its labels."""
    found: dict[str, set[str]] = {}
    for spec in exposed():
        labels = {*spec.labels, *TARGET}
        if spec.kind == "histogram":
            found[f"{spec.name}_bucket"] = {*labels, "le"}
            found[f"{spec.name}_sum"] = found[f"{spec.name}_count"] = labels
        else:
            found[spec.name] = labels
    return found


@cache
def recorded() -> set[str]:
    """What recording rules make."""
    return {
        rule["record"]
        for path in (ROOT / "prometheus" / "rules").glob("*.yml")
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    }
