"""Metrics, alerts and autoscaling on Kubernetes: the shipped rules, under the names they expect."""

import copy
import re

import pytest
import yaml

from deploy.kubernetes import build
from tests.deploy.environment import settings_of
from tests.deploy.kustomize import (
    FOLDER,
    container_of,
    of_kind,
    one,
    rendered,
    settings_map,
)
from tests.ops import promql
from tests.ops.lint import faults
from tests.ops.tools import ROOT, need, output
from tests.ops.vocabulary import rules

SHIPPED = yaml.safe_load((ROOT / "prometheus/prometheus.yml").read_text())
ROUTES = yaml.safe_load((ROOT / "prometheus/alertmanager.yml").read_text())["route"]["routes"]
VALUES = yaml.safe_load((FOLDER / "kube-prometheus-stack.yaml").read_text())
PAGE = (FOLDER / "README.md").read_text()
LEFT_OUT = {"RuleEvaluationFailing", "NotificationsFailing", "ConfigReloadFailed"}


@pytest.fixture
def objects():
    """Production."""
    return rendered("overlays/production")


@pytest.fixture
def groups(objects):
    """The groups of the PrometheusRule."""
    return one(objects, "PrometheusRule", "vitrine")["spec"]["groups"]


@pytest.fixture
def scaler(objects):
    """What scales the workers."""
    return one(objects, "ScaledObject", "vitrine-worker")["spec"]


def test_the_rules_are_up_to_date():
    """`python -m deploy.kubernetes.build` writes them; nobody edits them by hand."""
    assert build.RULES.read_text() == build.rules()


def test_every_shipped_rule_is_there_as_it_was_but_for_those_on_the_operators_programs(groups):
    """Templates and expressions come through YAML and kustomize unharmed."""
    made = [rule for group in groups for rule in group["rules"]]
    wanted = [rule for folder in ("rules", "alerts") for _, rule in rules(folder)]
    assert {rule["alert"] for rule in wanted if rule not in made} == LEFT_OUT
    assert made == [rule for rule in wanted if rule.get("alert") not in LEFT_OUT]


def test_the_page_names_what_is_left_out():
    """Whoever looks for one of them reads which alert of the chart tells the same."""
    assert all(f"`{name}`" in PAGE for name in LEFT_OUT)


def test_the_page_says_how_soon_an_outage_pages(groups):
    """Predictions go on meanwhile, so that the alert is all that tells of it."""
    found = {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}
    waits = {name: found[name]["for"] for name in ("BrokerDown", "DatabaseDown", "StorageDown")}
    assert waits == {"BrokerDown": "1m", "DatabaseDown": "2m", "StorageDown": "2m"}
    assert {found[name]["labels"]["severity"] for name in waits} == {"page"}
    said = "`BrokerDown` pages after a minute, `DatabaseDown` and `StorageDown` after two"
    assert said in PAGE


def test_promtool_accepts_the_rules(groups, tmp_path):
    """And the operator's webhook asks no more."""
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": groups}))
    checked = output(need("promtool"), "check", "rules", "--lint=all", "--lint-fatal", str(path))
    assert "SUCCESS" in checked
    assert len({group["name"] for group in groups}) == len(groups)


def test_promtool_refuses_a_rule_that_is_spoilt(groups, tmp_path):
    """Or the test before this one says nothing."""
    spoilt = copy.deepcopy(groups)
    spoilt[0]["rules"][0]["expr"] += ")"
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": spoilt}))
    with pytest.raises(AssertionError, match="parse"):
        output(need("promtool"), "check", "rules", str(path))


def test_rules_are_evaluated_as_often_as_shipped(groups):
    """The operator's default is longer, and every page would be later."""
    wanted = SHIPPED["global"]["evaluation_interval"]
    given = {group["interval"] for group in groups}
    assert wanted in given
    assert min(given, key=promql.seconds) == wanted


def test_links_can_stand_in_the_rules_themselves(monkeypatch):
    """Where a shared Prometheus takes no external labels."""
    links = {"grafana_url": "https://grafana.test", "runbooks_url": "https://runbooks.test"}
    assert "$externalLabels" in build.rules()
    monkeypatch.setattr(build, "LINKS", links)
    text = build.rules()
    assert "$externalLabels" not in text
    assert "https://runbooks.test/ApiDown.md" in text


@pytest.mark.parametrize("name", ["vitrine-api", "vitrine-worker"])
def test_pods_are_scraped_as_rules_and_dashboards_expect(objects, name):
    """Job and instance by name, as often and as patiently as shipped, at a port that is there."""
    (endpoint,) = one(objects, "PodMonitor", name)["spec"]["podMetricsEndpoints"]
    ports = {port["name"] for port in container_of(one(objects, "Deployment", name))["ports"]}
    assert endpoint["port"] in ports
    assert name in {job["job_name"] for job in SHIPPED["scrape_configs"]}
    assert {"targetLabel": "job", "replacement": name} in endpoint["relabelings"]
    instance = {"sourceLabels": ["__meta_kubernetes_pod_name"], "targetLabel": "instance"}
    assert instance in endpoint["relabelings"]
    assert endpoint["interval"] == SHIPPED["global"]["scrape_interval"]
    assert endpoint["scrapeTimeout"] == SHIPPED["global"]["scrape_timeout"]


def test_one_label_lets_prometheus_find_all_of_it(objects):
    """What it does not select is there, and does nothing."""
    found = [*of_kind(objects, "PodMonitor"), *of_kind(objects, "PrometheusRule")]
    assert len({it["metadata"]["labels"]["release"] for it in found}) == 1


def test_the_workers_are_scaled_by_what_the_broker_says(scaler):
    """Series that exist, asked for their maximum: every supervisor exposes the same number."""
    for trigger in scaler["triggers"]:
        query = trigger["metadata"]["query"]
        assert faults(query) == []
        assert str(promql.parse(query).op) == "max"
    assert "jobs_oldest_message_age_seconds" in scaler["triggers"][0]["metadata"]["query"]


def test_there_is_always_a_worker_to_tell_the_age(scaler):
    """And an outage of Prometheus, which is no number, is not taken for an empty queue."""
    assert 1 <= scaler["minReplicaCount"] < scaler["maxReplicaCount"]
    assert "idleReplicaCount" not in scaler
    for trigger in scaler["triggers"]:
        assert trigger["metadata"]["ignoreNullValues"] == "false"


def test_workers_come_before_the_promise_is_broken(scaler):
    """The freshness objective's edge is in the rules; the age is one number, no sum over pods."""
    (edge,) = {
        float(text)
        for _, rule in rules("rules")
        for text in re.findall(r'jobs_wait_seconds_bucket\{[^}]*le=~"(\d+)', rule["expr"])
    }
    age = scaler["triggers"][0]
    assert age["metricType"] == "Value"
    assert float(age["metadata"]["threshold"]) <= edge / 2


def test_workers_that_work_are_not_taken_away(objects, scaler):
    """As many pods as have something in hand; each has so many workers."""
    running = scaler["triggers"][1]
    assert running["metricType"] == "AverageValue"
    given = settings_map(objects) | {"REDIS_URL": "redis://broker"}
    settings = settings_of(given)
    assert float(running["metadata"]["threshold"]) == settings.worker_processes


def test_the_charts_values_give_prometheus_what_rules_need():
    """A month to look back on, the labels that links begin with, and not in every message."""
    spec = VALUES["prometheus"]["prometheusSpec"]
    assert promql.seconds(spec["retention"]) > promql.seconds("30d")
    assert set(spec["externalLabels"]) == set(SHIPPED["global"]["external_labels"])
    assert spec["additionalAlertRelabelConfigs"] == SHIPPED["alerting"]["alert_relabel_configs"]


@pytest.fixture
def routing(tmp_path):
    """The chart's Alertmanager configuration as a file."""
    config = copy.deepcopy(VALUES["alertmanager"]["config"])
    for receiver in config["receivers"]:
        for hook in receiver.get("webhook_configs", []):
            assert hook.pop("url_file")  # which Alertmanager takes from 0.26 on, Debian's is older
            hook["url"] = "https://example.com"
    config["templates"] = [str(ROOT / "prometheus/templates/*.tmpl")]
    path = tmp_path / "alertmanager.yml"
    path.write_text(yaml.safe_dump(config))
    return str(path)


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (("service=vitrine", "severity=page"), "page"),
        (("service=vitrine", "severity=ticket"), "ticket"),
        (("service=vitrine", "severity=none"), "deadman"),
        (("severity=critical",), "null"),
    ],
)
def test_an_alert_goes_where_it_has_to(routing, labels, receiver):
    """Ours as shipped; the cluster's own are for whoever keeps the cluster."""
    tool = need("amtool")
    assert "SUCCESS" in output(tool, "check-config", routing)
    said = output(tool, "config", "routes", "test", f"--config.file={routing}", *labels)
    assert said.strip() == receiver


def test_routes_are_as_patient_as_shipped():
    """Who is told after how long is written in prometheus/alertmanager.yml."""
    keys = ("group_wait", "group_interval", "repeat_interval")
    shipped = {route["receiver"]: route for route in ROUTES}
    (ours,) = VALUES["alertmanager"]["config"]["route"]["routes"]
    for route in ours["routes"]:
        for key in keys:
            assert route[key] == shipped[route["receiver"]][key]
