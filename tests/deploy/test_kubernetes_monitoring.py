"""Rules, scraping, autoscaling and Alertmanager's routes on Kubernetes."""

import copy
import re

import pytest
import yaml

from deploy.kubernetes import build
from tests.deploy.kustomize import FOLDER, PRODUCTION, find, rendered
from tests.deploy.targets import kubernetes
from tests.deploy.vm_files import load
from tests.ops import promql
from tests.ops.tools import ROOT, need, output
from tests.ops.vocabulary import rules

SHIPPED = load(ROOT / "prometheus/prometheus.yml")
CHART = load(FOLDER / "kube-prometheus-stack.yaml")
# Alerts on the monitoring itself; the operator's chart brings its own.
LEFT_OUT = {"RuleEvaluationFailing", "NotificationsFailing", "ConfigReloadFailed"}


@pytest.fixture
def groups():
    return find(rendered(PRODUCTION), "PrometheusRule", "vitrine")["spec"]["groups"]


def test_the_rules_are_up_to_date():
    assert build.RULES.read_text() == build.rules()


def test_every_shipped_rule_is_there_unchanged(groups):
    made = [rule for group in groups for rule in group["rules"]]
    wanted = [rule for folder in ("rules", "alerts") for _, rule in rules(folder)]
    assert {rule["alert"] for rule in wanted if rule not in made} == LEFT_OUT
    assert made == [rule for rule in wanted if rule.get("alert") not in LEFT_OUT]
    intervals = {group["interval"] for group in groups}
    assert min(intervals, key=promql.seconds) == SHIPPED["global"]["evaluation_interval"]
    assert len({group["name"] for group in groups}) == len(groups)


def test_workers_are_scaled_in_time_and_working_ones_stay():
    """By the age well before the objective is missed, and by as many as have work."""
    text = "".join(rule["expr"] for _, rule in rules("rules"))
    (objective,) = set(re.findall(r'jobs_wait_seconds_bucket\{[^}]*le=~"(\d+)', text))
    scaler = find(rendered(PRODUCTION), "ScaledObject", "vitrine-worker")["spec"]
    age, running = scaler["triggers"]
    assert (age["metricType"], running["metricType"]) == ("Value", "AverageValue")
    assert float(age["metadata"]["threshold"]) <= float(objective) / 2
    processes = kubernetes().worker.settings.worker_processes
    assert float(running["metadata"]["threshold"]) == processes
    for trigger in (age, running):  # an outage of Prometheus is no empty queue
        assert trigger["metadata"]["ignoreNullValues"] == "false"


def test_alerts_are_routed_as_shipped(tmp_path):
    """With the shipped waiting times; the cluster's own alerts are not ours to route."""
    config = copy.deepcopy(CHART["alertmanager"]["config"])
    shipped = load(ROOT / "prometheus/alertmanager.yml")["route"]["routes"]
    by_receiver = {route["receiver"]: route for route in shipped}
    for route in config["route"]["routes"][0]["routes"]:
        for key in ("group_wait", "group_interval", "repeat_interval"):
            assert route[key] == by_receiver[route["receiver"]][key]
    for receiver in config["receivers"]:
        for hook in receiver.get("webhook_configs", []):
            assert hook.pop("url_file")  # which Alertmanager reads from 0.26 on; Debian's is older
            hook["url"] = "https://example.com"
    config["templates"] = [str(ROOT / "prometheus/templates/*.tmpl")]
    path = tmp_path / "alertmanager.yml"
    path.write_text(yaml.safe_dump(config))
    amtool = need("amtool")
    assert "SUCCESS" in output(amtool, "check-config", str(path))
    for severity, receiver in (
        ("page", "page"),
        ("ticket", "ticket"),
        ("none", "deadman"),
        ("", "null"),
    ):
        labels = ["service=vitrine", f"severity={severity}"] if severity else ["severity=critical"]
        routed = output(amtool, "config", "routes", "test", f"--config.file={path}", *labels)
        assert routed.strip() == receiver
