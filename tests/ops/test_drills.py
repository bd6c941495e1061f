"""Alerts drilled: a real fault in the real stack, the page at a webhook, and its resolution.

The shipped rules and routes with every window a sixtieth as long. These tests stand in the order
of an incident: first nothing is wrong.
"""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest

from drills.drill import DrillResult, drill
from drills.faults import FAULTS
from drills.monitoring import ALERTMANAGER, DEADMAN, PROMETHEUS
from drills.server import lives
from drills.stack import Stack, standing
from drills.traffic import Traffic, healthy
from drills.waiting import DEADLINE, wait_until
from tests.ops.tools import ROOT, need

RUNBOOKS = "https://github.com/example/vitrine/blob/main/docs/runbooks"
HOUR = 3600
INTERRUPTED = 130
LABELS = {
    "ApiErrorBudgetBurn": {"component": "api", "burn": "fast", "slo": "availability"},
    "JobsNotProcessing": {"component": "jobs", "sign": "stalled", "queue": "text_to_image"},
    "ApiDown": {"component": "api", "job": "vitrine-api"},
    "SignInsFailing": {"component": "api", "severity": "ticket", "method": "refresh"},
    "LimitStoreDown": {"component": "api", "severity": "ticket", "job": "vitrine-api"},
}
DASHBOARDS = {
    "ApiErrorBudgetBurn": "vitrine-api",
    "JobsNotProcessing": "vitrine-jobs",
    "ApiDown": "vitrine-overview",
    "SignInsFailing": "vitrine-api",
    "LimitStoreDown": "vitrine-api",
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    need(*PROMETHEUS)
    need(*ALERTMANAGER)
    with standing(tmp_path_factory.mktemp("drills")) as stack:
        yield stack


@pytest.fixture(scope="module")
def traffic(stack: Stack) -> Iterator[Traffic]:
    with Traffic(stack.url, healthy(), stack.key) as traffic:
        traffic.await_each(1)
        yield traffic


@pytest.fixture(scope="module", params=list(FAULTS))
def drilled(request: pytest.FixtureRequest, stack: Stack, traffic: Traffic) -> DrillResult:
    """What came of the drill of each alert."""
    return drill(stack, FAULTS[request.param])


def test_watchdog_arrives_at_the_dead_mans_switch(stack):
    """Again and again, and nothing else does."""
    first = stack.receiver.await_alert("Watchdog", path=DEADMAN)
    again = stack.receiver.await_alert("Watchdog", path=DEADMAN, after=first.at + 1)
    assert again.labels["severity"] == "none"
    assert {notice.name for notice in stack.receiver.alerts(DEADMAN)} == {"Watchdog"}


def test_healthy_traffic_is_silent(stack, traffic):
    """Over the hour that the fast alerts look back, with refusals that are the callers' fault."""
    before = traffic.count()
    notice = stack.receiver.first_but("Watchdog", after=0, seconds=HOUR / stack.factor)
    assert notice is None
    assert traffic.count() > before
    assert traffic.count(status=200) > 0
    assert {status for _, status in traffic.outcomes} == {101, 200, 202, 404, 413, 422}
    assert not [rule for rule in stack.prometheus.rules() if rule["health"] != "ok"]


def test_the_page_has_the_labels_that_route_it(drilled, stack):
    """All of them, and none that only the links need."""
    name = drilled.fault.alert
    labels = {**drilled.page.labels}
    assert labels.pop("instance", stack.url.removeprefix("http://")) in stack.url
    assert labels == {
        "alertname": name,
        "severity": "page",
        "service": "vitrine",
        "environment": "local",
        **LABELS[name],
    }


def test_the_page_links_to_its_runbook_and_to_its_dashboard(drilled):
    """Both exist."""
    name, notes = drilled.fault.alert, drilled.page.annotations
    assert notes["runbook_url"] == f"{RUNBOOKS}/{name}.md"
    assert (ROOT / "docs" / "runbooks" / f"{name}.md").is_file()
    assert notes["dashboard_url"] == f"http://localhost:3000/d/{DASHBOARDS[name]}"
    assert (ROOT / "grafana" / "dashboards" / f"{DASHBOARDS[name]}.json").is_file()


def test_the_page_says_what_is_wrong(drilled):
    """In words, with its templates filled in."""
    for text in (drilled.page.annotations["summary"], drilled.page.annotations["description"]):
        assert text
        assert not re.search(r"\{\{|<no value>|<error", text)


def test_the_page_resolves_once_the_fault_is_mended(drilled):
    """The same alert as the one that fired."""
    assert drilled.resolution.labels == drilled.page.labels
    assert drilled.resolution.at > drilled.page.at


def test_after_the_last_drill_the_stack_is_well(stack, traffic):
    """Nothing of a fault is left behind: no objective burns, and jobs end."""
    prometheus = stack.prometheus
    wait_until(lambda: not prometheus.query("slo:sli_error:ratio_rate5m > 0"), "nothing burns")
    wait_until(lambda: prometheus.value("sum(increase(jobs_total[5s]))") > 0, "jobs end")


def test_a_drill_that_is_told_to_end_leaves_nothing_behind():
    """Whatever it has started by then, in groups and sessions of their own too."""
    need(*PROMETHEUS)
    need(*ALERTMANAGER)
    with subprocess.Popen([sys.executable, "-m", "drills", "ApiDown"], cwd=ROOT) as process:
        running = psutil.Process(process.pid)

        def started() -> list[psutil.Process]:
            found = running.children(recursive=True)
            serving = 0
            for child in found:
                with suppress(psutil.NoSuchProcess):  # some end at once
                    serving += child.name() == "gunicorn"
            return found if serving > 1 else []  # the arbiter and a worker

        found = wait_until(started, "the API starts")
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == INTERRUPTED
    assert not [child for child in found if lives(child)]
