"""The pages as Cloud Monitoring gets them: without recording rules they page for the same."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from deploy.cloudrun import alerts
from tests.deploy.cloudrun import CLOUDRUN
from tests.ops import promql
from tests.ops.tools import ROOT, need, output

PAGES = alerts.pages()
RECORDS = alerts.recorded()
LOOKS_BACK = 24 * 3600  # seconds; Cloud Monitoring reads no older samples for an alert
# What shows pages silent, pending, firing and silent again. Those of the budgets take promtool too
# long where nothing is recorded; one has a test of its own below.
SHOWN = ("api", "readiness", "instances", "inference", "jobs", "jobs_stalled", "guards")
CHANNEL = "projects/some-project/notificationChannels/1"
KIND = "conditionPrometheusQueryLanguage"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The policies as alerts.sh writes them."""
    folder = tmp_path_factory.mktemp("policies")
    output(sys.executable, str(CLOUDRUN / "alerts.py"), str(folder), CHANNEL)
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def test_every_page_has_a_policy_of_its_own(written):
    """Told apart by a label, by which a second run finds them again."""
    labels = {policy["userLabels"]["vitrine_alert"] for policy in written}
    assert len(labels) == len(written) == len(PAGES)
    names = {policy["conditions"][0][KIND]["alertRule"] for policy in written}
    assert names == {alert["alert"] for _, alert in PAGES}


def test_every_page_reaches_somebody(written):
    """The channels that alerts.sh was given."""
    assert all(policy["notificationChannels"] == [CHANNEL] for policy in written)


def test_a_policy_asks_for_nothing_that_is_recorded(written):
    """Cloud Monitoring records nothing, and an alert on what is not there never fires."""
    for policy in written:
        query = policy["conditions"][0][KIND]["query"]
        found = {promql.name_of(one) for one, _ in promql.selectors(promql.parse(query))}
        assert found
        assert not found & set(RECORDS)


def test_a_policy_looks_back_a_day_at_most(written):
    """Windows and subqueries, nested or not."""
    for policy in written:
        query = policy["conditions"][0][KIND]["query"]
        windows = [promql.seconds(one) for one in re.findall(r"\[(\w+)[]:]", query)]
        assert sum(sorted(windows)[-2:]) <= LOOKS_BACK


def test_a_policy_says_what_to_do_and_fits_the_platforms_times(written):
    """The runbook of the alert's name; no template of Alertmanager's is left over."""
    for policy in written:
        condition = policy["conditions"][0][KIND]
        seconds = int(condition["duration"].removesuffix("s"))
        assert seconds % alerts.EVALUATION_SECONDS == 0
        runbook = ROOT / "docs" / "runbooks" / f"{condition['alertRule']}.md"
        assert runbook.exists()
        assert f"/{runbook.name})" in policy["documentation"]["content"]
        assert "{{" not in json.dumps(policy)


def test_what_nothing_records_is_an_error():
    """Rather than a policy that never fires."""
    with pytest.raises(ValueError, match="nothing records"):
        alerts.inlined('slo:sli_error:ratio_rate1h{slo="nothing"} > 1', RECORDS)


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """Prometheus' folder with the pages as Cloud Monitoring would ask."""
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


@pytest.mark.parametrize("name", SHOWN)
def test_pages_come_and_go_as_they_do_with_prometheus(copied: Path, name: str) -> None:
    """The same tests, by promtool, with the expressions of the policies."""
    output(need("promtool"), "test", "rules", str(copied / "tests" / f"{name}.yml"))


def test_a_budget_that_burns_pages_within_minutes_and_no_longer_than_it_does(written, tmp_path):
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
