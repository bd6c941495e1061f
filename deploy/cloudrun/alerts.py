"""Writes the pages of prometheus/alerts as alert policies of Cloud Monitoring, a JSON file each.

Cloud Monitoring evaluates PromQL over what the collectors write, but knows no recording rules: what
an alert takes from one is put in its place. Tickets stay out: their windows reach over days, and
Cloud Monitoring looks back one.

`.venv/bin/python deploy/cloudrun/alerts.py FOLDER CHANNEL…` writes them, with whom to tell;
alerts.sh also applies them. RUNBOOKS_URL says where the runbooks are.
"""

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

PROMETHEUS = Path(__file__).parents[2] / "prometheus"
RUNBOOKS = "https://github.com/example/vitrine/blob/main/docs/runbooks"
STEP = "1m"  # what is recorded are rates over a minute: a sum of them leaves nothing out
EVALUATION_SECONDS = 30  # the shortest that Cloud Monitoring takes
CLOSED_AFTER_SECONDS = 1800  # without data, as when the service was deleted

# The name of a recorded series has colons in it; then its labels, then a window.
_RECORDED = re.compile(r"(?P<name>\w+(?::\w+)+)(?:\{(?P<labels>[^}]*)\})?(?:\[(?P<window>\w+)\])?")
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_TEMPLATE = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_QUERY = re.compile(r"\s*\{\{-? with .*\{\{-? end -?\}\}", re.DOTALL)

Rule = dict[str, Any]


def rules(kind: str, folder: Path = PROMETHEUS) -> Iterator[tuple[str, Rule]]:
    """Each rule of prometheus/alerts or prometheus/rules, with its group's name."""
    for path in sorted((folder / kind).glob("*.yml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                yield group["name"], rule


def recorded(folder: Path = PROMETHEUS) -> dict[str, list[Rule]]:
    """Name → the rules that record it; several share one and differ in a label."""
    found: dict[str, list[Rule]] = {}
    for _, rule in rules("rules", folder):
        found.setdefault(rule["record"], []).append(rule)
    return found


def inlined(
    expr: str, records: Mapping[str, list[Rule]], asked: Mapping[str, str] | None = None
) -> str:
    """An expression that names no recorded series any more.

    asked: labels that the answer must have. What is recorded keeps the labels of what it is made
    of, so they are asked of that too, and three of four objectives need not be computed.
    """
    asked = dict(asked or {})

    def replace(match: re.Match[str]) -> str:
        wanted = asked | dict(_LABEL.findall(match["labels"] or ""))
        parts = [
            _one(rule, inlined(rule["expr"], records, wanted))
            for rule in records[match["name"]]
            if all(wanted.get(name, value) == value for name, value in _own(rule).items())
        ]
        if not parts:
            raise ValueError(f"nothing records {match[0]}")
        window = f"[{match['window']}:{STEP}]" if match["window"] else ""
        return f"({' or '.join(parts)}){window}"

    return _RECORDED.sub(replace, expr)


def _own(rule: Rule) -> dict[str, str]:
    return rule.get("labels") or {}


def _one(rule: Rule, expr: str) -> str:
    """What a rule records, with the labels that it adds."""
    text = f"({expr.strip()})"
    for name, value in _own(rule).items():
        text = f'label_replace({text}, "{name}", "{value}", "", "")'
    return text


def query(alert: Rule, records: Mapping[str, list[Rule]]) -> str:
    """The expression of an alert for Cloud Monitoring.

    Where all its recorded series with labels ask for the same ones, those without are joined to
    them, and are asked for them too.
    """
    expr = alert["expr"]
    labels = [_LABEL.findall(match["labels"] or "") for match in _RECORDED.finditer(expr)]
    given = {tuple(found) for found in labels if found}
    return inlined(expr, records, dict(given.pop()) if len(given) == 1 else None).strip()


def seconds(duration: str) -> int:
    """A duration of a rule, such as 2m."""
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600}[duration[-1]]


def name_of(alert: Rule) -> str:
    """What tells a page from others; several rules share an alert's name and differ in a sign."""
    signs = (alert["labels"].get(sign) for sign in ("burn", "sign"))
    return "-".join(filter(None, (alert["alert"], *signs)))


def pages(folder: Path = PROMETHEUS) -> list[tuple[str, Rule]]:
    """The alerts that wake somebody, each with its group's name."""
    return [(group, rule) for group, rule in rules("alerts", folder) if _is_page(rule)]


def _is_page(rule: Rule) -> bool:
    return bool(rule["labels"]["severity"] == "page")


def policy(group: str, alert: Rule, text: str, runbooks: str) -> dict[str, Any]:
    """An AlertPolicy of Cloud Monitoring. text: its query."""
    name, notes = name_of(alert), alert["annotations"]
    summary = _TEMPLATE.sub("…", notes["summary"])
    description = _TEMPLATE.sub("…", _QUERY.sub("", notes["description"])).strip()
    return {
        "displayName": f"Vitrine {name}",
        "combiner": "OR",
        "severity": "CRITICAL",
        "userLabels": {"vitrine_alert": name.lower()},
        "documentation": {
            "mimeType": "text/markdown",
            "subject": f"Vitrine {alert['alert']}: {summary}"[:255],
            "content": f"{description}\n\n[Runbook]({runbooks}/{alert['alert']}.md)",
        },
        "conditions": [
            {
                "displayName": summary,
                "conditionPrometheusQueryLanguage": {
                    "query": text,
                    "duration": f"{seconds(alert.get('for', '0s'))}s",
                    "evaluationInterval": f"{EVALUATION_SECONDS}s",
                    "ruleGroup": group,
                    "alertRule": alert["alert"],
                    "labels": alert["labels"],
                },
            }
        ],
        "alertStrategy": {"autoClose": f"{CLOSED_AFTER_SECONDS}s"},
    }


def main() -> None:
    """Write a file for each page."""
    target, channels = Path(sys.argv[1]), sys.argv[2:]
    target.mkdir(parents=True, exist_ok=True)
    records = recorded()
    for group, alert in pages():
        made = policy(group, alert, query(alert, records), os.environ.get("RUNBOOKS_URL", RUNBOOKS))
        label = made["userLabels"]["vitrine_alert"]
        text = json.dumps(made | {"notificationChannels": channels}, indent=2, ensure_ascii=False)
        (target / f"{label}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
