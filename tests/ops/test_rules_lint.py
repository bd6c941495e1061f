"""The rules and alerts that we ship, against the linter; and that what they point to is there."""

import pytest

from tests.ops import promql
from tests.ops.alert_lint import alert_faults, record_faults
from tests.ops.tools import ROOT
from tests.ops.vocabulary import recorded, rules

ALERTS = [rule for _, rule in rules("alerts")]
RECORDS = [rule for _, rule in rules("rules")]


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_is_sound(rule):
    """See tests/ops/alert_lint.py for what that means."""
    assert alert_faults(rule) == []


@pytest.mark.parametrize("rule", RECORDS, ids=lambda rule: rule["record"])
def test_a_recording_rule_is_sound(rule):
    """See tests/ops/lint.py for what that means."""
    assert record_faults(rule) == []


@pytest.mark.parametrize("name", sorted({rule["alert"] for rule in ALERTS}))
def test_an_alert_has_a_runbook(name):
    """Under its own name, which is where its link leads."""
    assert (ROOT / "docs" / "runbooks" / f"{name}.md").is_file()


def test_what_is_recorded_is_asked_for():
    """Every other recording is work for Prometheus that nobody sees."""
    asked = {
        promql.name_of(selector)
        for rule in [*ALERTS, *RECORDS]
        for selector, _ in promql.selectors(promql.parse(rule["expr"]))
    }
    boards = (ROOT / "grafana" / "dashboards").glob("*.json")
    texts = "\n".join(path.read_text() for path in boards)
    texts += "\n".join(str(rule["annotations"]) for rule in ALERTS)
    assert {name for name in recorded() if name not in asked and name not in texts} == set()
