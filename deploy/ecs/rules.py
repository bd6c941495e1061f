#!/usr/bin/env python3
"""Prints a CloudFormation template with the rules and alerts of prometheus/ for Managed Prometheus.

Nothing but the standard library: it runs on whatever machine deploys. Each file is one namespace,
its text as it is but for what Prometheus takes from `external_labels`, which AMP does not have: the
addresses in the links, and the environment that every alert carries.
"""

import json
import sys
from pathlib import Path

PROMETHEUS = Path(__file__).resolve().parents[2] / "prometheus"
PARAMETERS = {
    "WorkspaceArn": {"Type": "String"},
    "Environment": {"Type": "String"},
    "GrafanaUrl": {"Type": "String", "Description": "Links to dashboards begin with it"},
    "RunbooksUrl": {"Type": "String", "Description": "Links to runbooks begin with it"},
}
FOR_LABELS = {
    "{{ $externalLabels.grafana_url }}": "${GrafanaUrl}",
    "{{ $externalLabels.runbooks_url }}": "${RunbooksUrl}",
    "labels: {severity:": 'labels: {environment: "${Environment}", severity:',
}


def for_workspace(text: str) -> str:
    """A rule file as Fn::Sub takes it. Raises ValueError for what AMP would leave unfilled."""
    text = text.replace("${", "${!")  # PromQL's own, if ever, is not ours to fill
    for ours, theirs in FOR_LABELS.items():
        text = text.replace(ours, theirs)
    if "externalLabels" in text:
        raise ValueError("a rule asks for an external label that is not known here")
    if text.count("- alert:") != text.count("${Environment}"):
        raise ValueError("an alert writes its labels otherwise than `labels: {severity: …`")
    return text


def template() -> dict[str, object]:
    """One namespace for each file of prometheus/rules/ and prometheus/alerts/."""
    resources = {}
    for path in sorted([*PROMETHEUS.glob("rules/*.yml"), *PROMETHEUS.glob("alerts/*.yml")]):
        kind, name = path.parent.name, path.stem
        text = for_workspace(path.read_text(encoding="utf-8"))
        properties = {
            "Workspace": {"Ref": "WorkspaceArn"},
            "Name": f"{kind}-{name.replace('_', '-')}",
            "Data": {"Fn::Sub": text} if "${" in text else text,
        }
        logical = kind.capitalize() + name.title().replace("_", "")
        resources[logical] = {"Type": "AWS::APS::RuleGroupsNamespace", "Properties": properties}
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Vitrine, rules and alerts: made by deploy/ecs/rules.py, not by hand.",
        "Parameters": PARAMETERS,
        "Resources": resources,
    }


if __name__ == "__main__":
    json.dump(template(), sys.stdout, indent=1)
