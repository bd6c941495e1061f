"""Rules, alerts and routes, as Amazon Managed Prometheus gets them from deploy/ecs/."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.cloudformation import PSEUDO, Template
from tests.deploy.ecs import FOLDER, rules_module
from tests.ops.tools import ROOT, need, output

GIVEN = {
    "WorkspaceArn": "arn:aws:aps:eu-central-1:123456789012:workspace/ws-1",
    "Environment": "staging",
    "GrafanaUrl": "https://grafana.example.com",
    "RunbooksUrl": "https://example.com/runbooks",
}
OURS = sorted([*ROOT.glob("prometheus/rules/*.yml"), *ROOT.glob("prometheus/alerts/*.yml")])
MAX_SUBJECT = 100  # characters of ASCII, in SNS


@pytest.fixture(scope="module")
def namespaces():
    """Name → rule file, as the template that rules.py prints has them."""
    printed = json.loads(output(str(FOLDER / "rules.py")))
    made = Template(printed, **GIVEN).of("AWS::APS::RuleGroupsNamespace")
    assert {one["Workspace"] for one in made.values()} == {GIVEN["WorkspaceArn"]}
    return {one["Name"]: one["Data"] for one in made.values()}


@pytest.fixture(scope="module")
def definition():
    """The two parts of the alert manager's definition."""
    template = Template(FOLDER / "monitoring.yaml", AlertEmail="ops@example.com")
    (workspace,) = template.of("AWS::APS::Workspace").values()
    return yaml.safe_load(workspace["AlertManagerDefinition"])


@pytest.fixture(scope="module")
def routing(definition):
    return yaml.safe_load(definition["alertmanager_config"])


def test_rules_are_ours(namespaces):
    """Each file of prometheus/, whole, but for links and environment."""
    assert len(namespaces) == len(OURS)
    for path in OURS:
        ours = path.read_text()
        ours = ours.replace("{{ $externalLabels.grafana_url }}", GIVEN["GrafanaUrl"])
        ours = ours.replace("{{ $externalLabels.runbooks_url }}", GIVEN["RunbooksUrl"])
        wanted = yaml.safe_load(ours)
        for group in wanted["groups"]:
            for rule in group["rules"]:
                if "alert" in rule:
                    rule["labels"]["environment"] = GIVEN["Environment"]
        name = f"{path.parent.name}-{path.stem.replace('_', '-')}"
        assert yaml.safe_load(namespaces[name]) == wanted


def test_no_rule_asks_for_an_edge_that_the_collector_does_not_write(namespaces):
    """OpenTelemetry has edges as numbers and writes them without a nought behind the point."""
    text = "".join(namespaces.values())
    edges = re.findall(r'\ble="([^"]+)"', text)
    assert [edge for edge in edges if edge != "+Inf" and edge != f"{float(edge):g}"] == []
    patterns = re.findall(r'\ble=~"([^"]+)"', text)
    assert patterns
    for edge in ("60", "60.0"):
        assert all(re.fullmatch(pattern, edge) for pattern in patterns)


def test_dashboards_ask_for_edges_that_the_collector_writes():
    """They are not rewritten on their way, so none may have such an edge."""
    for path in ROOT.glob("grafana/dashboards/*.json"):
        edges = re.findall(r'\ble=~?\\"([^"\\]+)', path.read_text())
        assert [edge for edge in edges if edge != f"{float(edge):g}"] == [], path.name


def test_prometheus_takes_them(tmp_path, namespaces):
    """All files together, so that no group's name is taken twice."""
    paths = []
    for name, text in namespaces.items():
        paths.append(tmp_path / f"{name}.yml")
        paths[-1].write_text(text)
    assert "SUCCESS" in output(need("promtool"), "check", "rules", *map(str, paths))


@pytest.mark.parametrize(
    "text",
    ["x: '{{ $externalLabels.zone }}'", "- alert: A\n  labels:\n    severity: page\n"],
    ids=["label", "form"],
)
def test_a_rule_that_would_come_out_wrong_is_refused(text):
    """Another external label would be empty there; labels written otherwise get no environment."""
    with pytest.raises(ValueError, match=r"^an? (rule|alert) "):
        rules_module().for_workspace(text)


def test_who_is_told_of_what_is_ours(routing):
    """Routes, waiting times and inhibitions are those of prometheus/alertmanager.yml."""
    ours = yaml.safe_load((ROOT / "prometheus/alertmanager.yml").read_text())
    routes = [one for one in ours["route"]["routes"] if one["receiver"] != "webhook"]
    routes = [one for one in routes if one["receiver"] != "ticket"]  # the last one, for the rest
    assert routing["route"] == ours["route"] | {"routes": routes}
    assert routing["inhibit_rules"] == ours["inhibit_rules"]


def test_messages_are_ours(definition):
    """Their texts are those of prometheus/templates/vitrine.tmpl, word by word."""
    ours = (ROOT / "prometheus/templates/vitrine.tmpl").read_text()
    for name in ("text", "runbook", "dashboard"):
        whole = re.compile(rf'{{{{ define "vitrine\.{name}".*?(?=\n\n|\Z)', re.DOTALL)
        found = [whole.search(text) for text in (ours, definition["template_files"]["vitrine"])]
        assert all(found)
        assert found[0][0].strip() == found[1][0].strip()


def test_every_receiver_is_a_topic_that_lets_it_in(routing):
    """Of this stack, signed for this region, with a subject that SNS takes."""
    template = Template(FOLDER / "monitoring.yaml")
    (policy,) = template.of("AWS::SNS::TopicPolicy").values()
    name = max(re.findall(r"- alert: (\w+)", "".join(map(Path.read_text, OURS))), key=len)
    statements = {one["Sid"]: one for one in policy["PolicyDocument"]["Statement"]}
    assert statements["Alerts"]["Principal"] == {"Service": "aps.amazonaws.com"}
    for receiver in routing["receivers"]:
        (sns,) = receiver["sns_configs"]
        assert sns["topic_arn"] in template.of("AWS::SNS::Topic")
        assert sns["topic_arn"] in statements["Alerts"]["Resource"]
        assert sns["sigv4"] == {"region": PSEUDO["AWS::Region"]}
        longest = re.sub(r"\{\{ if .*? \}\}.*?\{\{ else \}\}", "", sns["subject"])
        longest = longest.replace("{{ end }}", "").replace("{{ .CommonLabels.alertname }}", name)
        longest = longest.replace("{{ .CommonLabels.environment }}", "production")
        assert "{{" not in longest
        assert longest.isascii()
        assert len(longest) <= MAX_SUBJECT


def test_alertmanager_takes_it(tmp_path, definition, routing):
    """The real one reads routes and texts, and sends each severity where it belongs."""
    template = tmp_path / "vitrine.tmpl"
    template.write_text(definition["template_files"]["vitrine"])
    assert routing["templates"] == list(definition["template_files"])
    path = tmp_path / "alertmanager.yml"
    path.write_text(yaml.safe_dump(routing | {"templates": [str(template)]}))
    amtool = need("amtool")
    assert "SUCCESS" in output(amtool, "check-config", str(path))
    for severity, receiver in (("page", "page"), ("ticket", "ticket"), ("none", "deadman")):
        routed = output(
            amtool, "config", "routes", "test", f"--config.file={path}", f"severity={severity}"
        )
        assert routed.split() == [receiver]


def test_silence_itself_pages():
    """The alarm counts what only Watchdog sends, for longer than one of its notifications takes."""
    template = Template(FOLDER / "monitoring.yaml")
    alarm = template.of("AWS::CloudWatch::Alarm")["Silence"]
    assert alarm["Dimensions"] == [{"Name": "TopicName", "Value": "Watched.TopicName"}]
    assert alarm["TreatMissingData"] == "breaching"
    assert alarm["AlarmActions"] == ["Pages"]
    assert alarm["Period"] * alarm["EvaluationPeriods"] >= 600


def test_without_an_address_nobody_is_subscribed():
    """And the stack is made all the same."""
    for address, number in (("", 0), ("ops@example.com", 2)):
        template = Template(FOLDER / "monitoring.yaml", AlertEmail=address)
        assert len(template.of("AWS::SNS::Subscription")) == number


def test_rules_need_nothing_but_python():
    """They are printed on whatever machine deploys, without our packages."""
    done = subprocess.run(
        ["/usr/bin/env", "python3", "-I", "-S", str(FOLDER / "rules.py")],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
