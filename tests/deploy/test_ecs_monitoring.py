"""Rules, alerts and routes as Amazon Managed Prometheus gets them from deploy/ecs."""

import json
import re

import pytest
import yaml

from deploy.ecs import rules
from tests.deploy.cloudformation import Template
from tests.deploy.ecs import FOLDER
from tests.ops.tools import ROOT, need, output

PARAMETERS = {
    "WorkspaceArn": "arn:aws:aps:eu-central-1:123456789012:workspace/ws-1",
    "Environment": "staging",
    "GrafanaUrl": "https://grafana.example.com",
    "RunbooksUrl": "https://example.com/runbooks",
}
SHIPPED = sorted([*ROOT.glob("prometheus/rules/*.yml"), *ROOT.glob("prometheus/alerts/*.yml")])
MAX_SUBJECT = 100  # characters of ASCII, in SNS


@pytest.fixture(scope="module")
def namespaces():
    """Name to rule file, from the template that rules.py prints without any package installed."""
    printed = json.loads(output("/usr/bin/env", "python3", "-I", "-S", str(FOLDER / "rules.py")))
    made = Template(printed, **PARAMETERS).of_type("AWS::APS::RuleGroupsNamespace")
    assert {one["Workspace"] for one in made.values()} == {PARAMETERS["WorkspaceArn"]}
    return {one["Name"]: one["Data"] for one in made.values()}


@pytest.fixture(scope="module")
def definition():
    template = Template(FOLDER / "monitoring.yaml", AlertEmail="ops@example.com")
    (workspace,) = template.of_type("AWS::APS::Workspace").values()
    return yaml.safe_load(workspace["AlertManagerDefinition"])


@pytest.fixture(scope="module")
def routing(definition):
    return yaml.safe_load(definition["alertmanager_config"])


def test_rules_are_the_shipped_ones(namespaces):
    """Each file of prometheus/, with its links and its environment filled in."""
    assert len(namespaces) == len(SHIPPED)
    for path in SHIPPED:
        text = path.read_text()
        text = text.replace("{{ $externalLabels.grafana_url }}", PARAMETERS["GrafanaUrl"])
        text = text.replace("{{ $externalLabels.runbooks_url }}", PARAMETERS["RunbooksUrl"])
        wanted = yaml.safe_load(text)
        for group in wanted["groups"]:
            for rule in group["rules"]:
                if "alert" in rule:
                    rule["labels"]["environment"] = PARAMETERS["Environment"]
        name = f"{path.parent.name}-{path.stem.replace('_', '-')}"
        assert yaml.safe_load(namespaces[name]) == wanted


def test_no_query_needs_a_bucket_that_the_collector_writes_otherwise(namespaces):
    """OpenTelemetry writes the bucket 60.0 as 60; dashboards and rules have to match that."""
    text = "".join(namespaces.values())
    edges = re.findall(r'\ble="([^"]+)"', text)
    for path in ROOT.glob("grafana/dashboards/*.json"):
        edges += re.findall(r'\ble=~?\\"([^"\\]+)', path.read_text())
    assert [edge for edge in edges if edge not in {"+Inf", f"{float(edge):g}"}] == []
    patterns = re.findall(r'\ble=~"([^"]+)"', text)
    assert patterns
    assert all(re.fullmatch(one, edge) for one in patterns for edge in ("60", "60.0"))


def test_a_rule_that_would_be_converted_wrongly_is_refused():
    for text in ("x: '{{ $externalLabels.zone }}'", "- alert: A\n  labels:\n    severity: page\n"):
        with pytest.raises(ValueError, match=r"^an? (rule|alert) "):
            rules.for_workspace(text)


def test_routes_and_message_texts_are_the_shipped_ones(definition, routing):
    """Those of prometheus/alertmanager.yml and its template, without the webhook."""
    shipped = yaml.safe_load((ROOT / "prometheus/alertmanager.yml").read_text())
    routes = [
        one for one in shipped["route"]["routes"] if one["receiver"] not in {"webhook", "ticket"}
    ]
    assert routing["route"] == shipped["route"] | {"routes": routes}
    assert routing["inhibit_rules"] == shipped["inhibit_rules"]
    texts = (ROOT / "prometheus/templates/vitrine.tmpl").read_text()
    for name in ("text", "runbook", "dashboard"):
        block = re.compile(rf'{{{{ define "vitrine\.{name}".*?(?=\n\n|\Z)', re.DOTALL)
        ours, theirs = (
            block.search(one) for one in (texts, definition["template_files"]["vitrine"])
        )
        assert ours[0].strip() == theirs[0].strip()


def test_alertmanager_accepts_and_routes_by_severity(tmp_path, definition, routing):
    template = tmp_path / "vitrine.tmpl"
    template.write_text(definition["template_files"]["vitrine"])
    assert routing["templates"] == list(definition["template_files"])
    path = tmp_path / "alertmanager.yml"
    path.write_text(yaml.safe_dump(routing | {"templates": [str(template)]}))
    amtool = need("amtool")
    assert "SUCCESS" in output(amtool, "check-config", str(path))
    for severity, receiver in (("page", "page"), ("ticket", "ticket"), ("none", "deadman")):
        command = ["config", "routes", "test", f"--config.file={path}", f"severity={severity}"]
        assert output(amtool, *command).split() == [receiver]
