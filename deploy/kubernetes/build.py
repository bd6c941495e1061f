"""`python -m deploy.kubernetes.build` makes a PrometheusRule of the rules and alerts that we ship.

Alerts on Prometheus and Alertmanager themselves are left out: the operator's charts give those
programs other jobs and bring such alerts of their own, so ours would never fire.
"""

import re
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
PROMETHEUS = HERE.parents[1] / "prometheus"
RULES = HERE / "components" / "monitoring" / "rules.yaml"
HEAD = (
    "# Made by `python -m deploy.kubernetes.build` from prometheus/rules and prometheus/alerts.\n"
)
THEIRS = {"prometheus", "alertmanager"}
LABELS = {"app.kubernetes.io/name": "vitrine", "release": "kube-prometheus-stack"}
# The links of the alerts begin with external labels of Prometheus. Where they cannot be set, as it
# is shared, say here what stands in their place, such as
# {"grafana_url": "https://grafana.example.com"}, likewise runbooks_url, and run this again.
LINKS: dict[str, str] = {}


class _Dumper(yaml.SafeDumper):
    """Writes expressions over several lines, as people do."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def rules() -> str:
    """The file's text."""
    made = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "vitrine", "namespace": "vitrine", "labels": LABELS},
        "spec": {"groups": list(_groups())},
    }
    return HEAD + yaml.dump(made, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)


def _groups() -> list[dict[str, Any]]:
    shipped = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))
    interval = shipped["global"]["evaluation_interval"]  # the operator's own default is longer
    found = [
        group
        for folder in ("rules", "alerts")
        for path in sorted((PROMETHEUS / folder).glob("*.yml"))
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    ]
    return [
        {
            "name": group["name"],
            "interval": group.get("interval", interval),
            "rules": [_linked(rule) for rule in group["rules"] if not is_theirs(rule)],
        }
        for group in found
    ]


def is_theirs(rule: dict[str, Any]) -> bool:
    """Whether a rule asks of nothing but Prometheus or Alertmanager."""
    jobs = set(re.findall(r'\bjob="([^"]+)"', rule["expr"]))
    return bool(jobs) and jobs <= THEIRS


def _linked(rule: dict[str, Any]) -> dict[str, Any]:
    if "annotations" not in rule:
        return rule
    texts = dict(rule["annotations"])
    for label, url in LINKS.items():
        for name, text in texts.items():
            texts[name] = text.replace(f"{{{{ $externalLabels.{label} }}}}", url)
    return {**rule, "annotations": texts}


if __name__ == "__main__":
    RULES.write_text(rules(), encoding="utf-8")
