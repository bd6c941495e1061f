"""promtool's word on rules and alerts, and that every alert was seen silent, pending and firing."""

import re
from typing import Any

import pytest
import yaml

from tests.ops import promql
from tests.ops.alert_lint import WATCHDOG
from tests.ops.tools import ROOT, need, output
from tests.ops.vocabulary import rules

PROMETHEUS = ROOT / "prometheus"
TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
GROUPS = [group for path in TESTS for group in yaml.safe_load(path.read_text())["tests"]]
LIFE = ("silent", "pending", "firing", "silent")
ALERTS = [rule for _, rule in rules("alerts")]


def sign_of(rule: dict[str, Any]) -> dict[str, str]:
    """What tells an alert from others: its name, and a label where several rules share that."""
    own = {name: rule["labels"][name] for name in ("burn", "sign") if name in rule["labels"]}
    return {"alertname": rule["alert"], **own}


def lives(rule: dict[str, Any]) -> list[list[str]]:
    """The states that the tests show of an alert, in the order of time, for each group of tests."""
    found = []
    for group in GROUPS:
        states = [
            (promql.seconds(one["eval_time"]), state_of(one))
            for one in group.get("promql_expr_test", [])
            if is_about(one["expr"], sign_of(rule))
        ]
        found.append([state for _, state in sorted(states)])
    return [states for states in found if states]


def is_about(expr: str, sign: dict[str, str]) -> bool:
    """Whether an expression looks at the states of just this alert."""
    for selector, _ in promql.selectors(promql.parse(expr)):
        if promql.name_of(selector) == "ALERTS":
            asked = {one.name: one.value for one in promql.matchers(selector)}
            return "alertstate" not in asked and asked.items() >= sign.items()
    return False


def state_of(test: dict[str, Any]) -> str:
    """What a test of ALERTS expects to see."""
    states = {
        state
        for sample in test["exp_samples"]
        for state in re.findall(r'alertstate="(\w+)"', sample["labels"])
    }
    return "+".join(sorted(states)) or "silent"


def in_order(wanted: tuple[str, ...], states: list[str]) -> bool:
    """Whether the states contain the wanted ones one after the other."""
    rest = iter(states)
    return all(state in rest for state in wanted)


@pytest.mark.parametrize("folder", ["rules", "alerts"])
def test_promtool_finds_nothing_to_complain_of(folder):
    """Not only that they parse: no rule is there twice."""
    files = [str(path) for path in sorted((PROMETHEUS / folder).glob("*.yml"))]
    assert output(need("promtool"), "check", "rules", "--lint=all", "--lint-fatal", *files)


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_rules_do_what_their_tests_say(path):
    """On series that are written down, in Prometheus' own engine."""
    assert "SUCCESS" in output(need("promtool"), "test", "rules", str(path))


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: " ".join(sign_of(rule).values()))
def test_an_alert_was_seen_silent_pending_firing_and_resolved(rule):
    """An alert that nobody saw fire is a hope; one that nobody saw resolve is a nuisance."""
    shown = lives(rule)
    wanted = ("firing",) if rule["alert"] == WATCHDOG else LIFE
    assert any(in_order(wanted, states) for states in shown), shown


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: " ".join(sign_of(rule).values()))
def test_an_alert_was_read_as_it_is_sent(rule):
    """With all labels and annotations, so that no template is empty at three in the morning."""
    read = [
        alert["exp_labels"]
        for group in GROUPS
        for test in group.get("alert_rule_test", [])
        for alert in test["exp_alerts"]
        if test["alertname"] == rule["alert"]
    ]
    assert any(labels.items() >= rule["labels"].items() for labels in read), read
