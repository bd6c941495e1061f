"""A client of Prometheus's HTTP API."""

import math
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from drills.programs import ask


@dataclass(frozen=True)
class Sample:
    """One series of a result with its value. A scalar has no labels."""

    labels: dict[str, str]
    value: float

    @property
    def known(self) -> bool:
        """Whether it is a number; NaN means that there was no data."""
        return not math.isnan(self.value)


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus; an invalid query raises HTTPError."""

    url: str

    def query(self, expr: str, at: float | None = None) -> list[Sample]:
        """An instant query. at: Unix seconds; None for now."""
        given: dict[str, object] = {"query": expr} if at is None else {"query": expr, "time": at}
        data = self._get("query", given)
        if data["resultType"] == "scalar":
            return [Sample({}, float(data["result"][1]))]
        return [Sample(item["metric"], float(item["value"][1])) for item in data["result"]]

    def value(self, expr: str, at: float | None = None) -> float:
        """The value of a query with one series; 0 where it has none."""
        return sum(sample.value for sample in self.query(expr, at))

    def label_values(self, label: str, selector: str) -> list[str]:
        """The values of a label, as Grafana offers them for a variable."""
        found: list[str] = self._get(f"label/{label}/values", {"match[]": selector})
        return found

    def targets(self) -> dict[str, str]:
        """Scrape job → health of its target: up, down or unknown."""
        active = self._get("targets", {"state": "active"})["activeTargets"]
        return {target["labels"]["job"]: target["health"] for target in active}

    def rules(self) -> list[dict[str, Any]]:
        """Every rule with its health and its last error, if any."""
        groups = self._get("rules", {})["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def _get(self, path: str, given: dict[str, object]) -> Any:
        return ask(f"{self.url}/api/v1/{path}?{urlencode(given)}")["data"]
