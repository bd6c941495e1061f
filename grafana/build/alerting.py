"""The alerts of prometheus/alerts as Grafana-managed rules, for installations without Alertmanager.

Not the default: such rules cannot be tested by promtool, are no series on the dashboards, and stay
in Grafana when their file is deleted.
"""

from pathlib import Path
from typing import Any

import yaml

ALERTS = Path(__file__).parent.parent.parent / "prometheus" / "alerts"
SOURCE = "vitrine-prometheus"
HEAD = (
    "# Made by `python -m grafana.build` from prometheus/alerts; grafana/README.md says when to\n"
    "# use it. Off unless it is mounted into Grafana's provisioning/alerting.\n"
)
INTERVAL = "30s"  # Grafana requires a multiple of its own 10 s
MAX_UID = 40  # Grafana's limit
# Names that differ between Prometheus and Grafana. Inside annotations, Grafana expands only
# variables in braces.
NAMES = {
    "{{ $externalLabels.runbooks_url }}": "${RUNBOOKS_URL}",
    "{{ $externalLabels.grafana_url }}": "${GRAFANA_URL}",
    "$value": "$values.A.Value",
}


def alerting() -> str:
    """The provisioning file."""
    groups = [
        _group(group)
        for path in sorted(ALERTS.glob("*.yml"))
        for group in yaml.safe_load(path.read_text())["groups"]
    ]
    text: str = yaml.safe_dump({"apiVersion": 1, "groups": groups}, sort_keys=False, width=100)
    return HEAD + text


def _group(group: dict[str, Any]) -> dict[str, Any]:
    return {
        "orgId": 1,
        "name": group["name"],
        "folder": "Vitrine",
        "interval": INTERVAL,
        "rules": [_rule(rule) for rule in group["rules"]],
    }


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    """One rule: every series of its expression fires, as in Prometheus, a value of 0 too."""
    labels = rule["labels"]
    # Several rules may share a name in Prometheus and differ in one of these labels.
    variant = labels.get("burn") or labels.get("sign")
    title = " ".join(filter(None, (rule["alert"], variant)))
    uid = f"vitrine-{title}".replace(" ", "-").lower()
    if len(uid) > MAX_UID:
        raise ValueError(f"{uid}: Grafana accepts {MAX_UID} characters at most")
    return {
        "uid": uid,
        "title": title,
        "condition": "B",
        "data": [
            {
                "refId": "A",
                "relativeTimeRange": {"from": 600, "to": 0},
                "datasourceUid": SOURCE,
                "model": {
                    "refId": "A",
                    "expr": rule["expr"].strip(),
                    "instant": True,
                    "range": False,
                },
            },
            {
                "refId": "B",
                "datasourceUid": "__expr__",
                "model": {"refId": "B", "type": "math", "expression": "is_number($A)"},
            },
        ],
        "noDataState": "OK",
        "execErrState": "Error",
        "for": rule.get("for", "0s"),
        "annotations": {name: _renamed(text) for name, text in rule["annotations"].items()},
        "labels": labels,
    }


def _renamed(text: str) -> str:
    for name, other in NAMES.items():
        text = text.replace(name, other)
    return text
