"""The paging alerts as policies of Cloud Monitoring, which has no recording rules."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from deploy.cloudrun import alerts
from tests.deploy.cloudrun import FOLDER
from tests.ops import promql
from tests.ops.tools import ROOT, need, output

PAGES = alerts.pages()
RECORDS = alerts.recorded()
MAX_WINDOW_SECONDS = 24 * 3600  # Cloud Monitoring reads no older samples for an alert
# promtool's tests of pages that fire and resolve. Those of the error budgets take too long without
# recorded series; one has a test of its own below.
PROMTOOL_TESTS = ("api", "readiness", "instances", "inference", "jobs", "jobs_stalled", "guards")
CHANNEL = "projects/some-project/notificationChannels/1"
KIND = "conditionPrometheusQueryLanguage"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("policies")
    output(sys.executable, str(FOLDER / "alerts.py"), str(folder), CHANNEL)
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def test_every_page_has_one_policy_with_the_channel(written):
    labels = {policy["userLabels"]["vitrine_alert"] for policy in written}
    assert len(labels) == len(written) == len(PAGES)
    names = {policy["conditions"][0][KIND]["alertRule"] for policy in written}
    assert names == {alert["alert"] for _, alert in PAGES}
    assert all(policy["notificationChannels"] == [CHANNEL] for policy in written)


def test_queries_use_no_recorded_series_and_windows_of_a_day_at_most(written):
    for policy in written:
        query = policy["conditions"][0][KIND]["query"]
        found = {promql.name_of(one) for one, _ in promql.selectors(promql.parse(query))}
        assert found
        assert not found & set(RECORDS)
        windows = [promql.seconds(one) for one in re.findall(r"\[(\w+)[]:]", query)]
        assert sum(sorted(windows)[-2:]) <= MAX_WINDOW_SECONDS


def test_a_policy_links_its_runbook_and_has_a_duration_that_is_accepted(written):
    for policy in written:
        condition = policy["conditions"][0][KIND]
        seconds = int(condition["duration"].removesuffix("s"))
        assert seconds % alerts.EVALUATION_SECONDS == 0
        runbook = ROOT / "docs" / "runbooks" / f"{condition['alertRule']}.md"
        assert runbook.exists()
        assert f"/{runbook.name})" in policy["documentation"]["content"]
        assert "{{" not in json.dumps(policy)


def test_a_series_that_nothing_records_is_an_error():
    with pytest.raises(ValueError, match="nothing records"):
        alerts.inlined('slo:sli_error:ratio_rate1h{slo="nothing"} > 1', RECORDS)


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rules") / "prometheus"
    shutil.copytree(ROOT / "prometheus", folder)
    changed = 0
    for path in (folder / "alerts").glob("*.yml"):
        whole = yaml.safe_load(path.read_text())
        for rule in (rule for group in whole["groups"] for rule in group["rules"]):
            if rule["labels"]["severity"] == "page":
                before, rule["expr"] = rule["expr"], alerts.query(rule, RECORDS)
                changed += before.strip() != rule["expr"]
        path.write_text(yaml.safe_dump(whole, sort_keys=False, allow_unicode=True))
    assert changed > 3
    return folder


@pytest.mark.parametrize("name", PROMTOOL_TESTS)
def test_policies_fire_and_resolve_as_the_alerts_do(copied: Path, name: str) -> None:
    """Promtool's own tests of the alerts, with the queries of the policies."""
    output(need("promtool"), "test", "rules", str(copied / "tests" / f"{name}.yml"))


def test_a_burning_error_budget_pages_within_minutes_and_resolves(written, tmp_path):
    """One request in five fails for a quarter of an hour: the series of Prometheus' own test."""
    (policy,) = (one for one in written if one["displayName"].endswith("ApiErrorBudgetBurn-fast"))
    condition = policy["conditions"][0][KIND]
    rule = {"alert": condition["alertRule"], "expr": condition["query"]}
    rule |= {"for": condition["duration"], "labels": condition["labels"]}
    group = {"name": condition["ruleGroup"], "rules": [rule]}
    (tmp_path / "policy.yml").write_text(yaml.safe_dump({"groups": [group]}))
    shown = yaml.safe_load((alerts.PROMETHEUS / "tests" / "availability_fast.yml").read_text())
    series = {name: shown["tests"][0][name] for name in ("interval", "input_series")}
    expected = [
        {
            "expr": "count by (alertstate) (ALERTS)",
            "eval_time": time,
            "exp_samples": [{"labels": f'{{alertstate="{state}"}}', "value": 1}] if state else [],
        }
        for time, state in (("1h", None), ("1h10m", "firing"), ("1h15m", "firing"), ("1h25m", None))
    ]
    whole = {"rule_files": ["policy.yml"], "evaluation_interval": "1m"}
    whole["tests"] = [series | {"promql_expr_test": expected}]
    (tmp_path / "test.yml").write_text(yaml.safe_dump(whole))
    output(need("promtool"), "test", "rules", str(tmp_path / "test.yml"))
