"""From a rule to a person: real Prometheus, real Alertmanager, receivers of ours on loopback.

The shipped files with their pauses made short; the rules are the shortest that fire at once.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from drills.programs import running
from drills.server import free_port
from drills.waiting import wait_until
from project.local_stack import prometheus
from project.local_stack.configs import Config, alertmanager_config, prometheus_config
from project.local_stack.write_config import write_config
from tests.collectors import Collector, collecting
from tests.conftest import make_settings
from tests.ops.alertmanagers import alertmanagers
from tests.ops.tools import need

PAUSES = {"group_wait", "group_interval", "repeat_interval"}
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
FASTER = 30
RUNBOOKS = "https://github.com/example/vitrine/blob/main/docs/runbooks"
KINDS = [
    ("ApiWorkerCrashLoop", "page", "api", "vitrine-api"),
    ("JobsDeadLetters", "ticket", "jobs", "vitrine-jobs"),
    ("Watchdog", "none", "telemetry", "vitrine-overview"),
]


def rule(name: str, severity: str, component: str, dashboard: str) -> dict[str, Any]:
    """A rule that fires always, with the labels and annotations that all of ours have."""
    return {
        "alert": name,
        "expr": "vector(1)",
        "labels": {"severity": severity, "service": "vitrine", "component": component},
        "annotations": {
            "summary": f"{name} & something <else>",
            "description": "Happened 3 times\nin 10 minutes.",
            "runbook_url": "{{ $externalLabels.runbooks_url }}/" + f"{name}.md",
            "dashboard_url": "{{ $externalLabels.grafana_url }}/d/" + dashboard,
        },
    }


def quick(config: Config) -> Config:
    """The same routes with each pause a thirtieth as long."""
    for route in [config["route"], *config["route"]["routes"]]:
        for key in PAUSES & set(route):
            number, unit = int(route[key][:-1]), route[key][-1]
            route[key] = f"{number * SECONDS[unit] * 1000 // FASTER}ms"
    return config


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> Iterator[Collector]:
    """Receivers of every kind, told of an alert of each severity."""
    need("prometheus")
    folder: Path = tmp_path_factory.mktemp("monitoring")
    (folder / "alerts").mkdir()
    rules = {"groups": [{"name": "test", "rules": [rule(*kind) for kind in KINDS]}]}
    (folder / "alerts/test.yml").write_text(yaml.safe_dump(rules))
    (folder / "key").write_text("0123456789abcdef0123456789abcdef\n")
    with collecting() as collector:
        for name in ("slack", "webhook", "deadman"):
            (folder / name).write_text(f"{collector.url}/{name}\n")
        settings = make_settings(
            alert_pagerduty_key_file=folder / "key",
            alert_slack_url_file=folder / "slack",
            alert_webhook_url_file=folder / "webhook",
            alert_deadman_url_file=folder / "deadman",
            prometheus_port=free_port(),
        )
        config = quick(alertmanager_config(settings))
        config["global"] = {"pagerduty_url": f"{collector.url}/pagerduty"}
        with alertmanagers(folder, config) as manager:
            addresses = {"alertmanager": f"127.0.0.1:{manager.port}"}
            ours = prometheus_config(settings, addresses=addresses, rules=folder)
            ours["global"] |= {"evaluation_interval": "500ms"}
            ours["scrape_configs"] = []
            write_config(folder / prometheus.CONFIG, ours)
            port = settings.prometheus_port
            command = prometheus.command(need("prometheus"), port, folder)
            again = "--rules.alert.resend-delay=1s"  # the first are sent before it knows where to
            with running([*command, again], f"http://127.0.0.1:{port}"):
                yield collector


def bodies(collector: Collector, path: str, least: int = 1) -> list[dict[str, Any]]:
    """What a receiver was sent, once that is enough."""

    def come() -> list[dict[str, Any]]:
        found = [item for item in collector.requests if item.path == path]
        return [json.loads(item.body) for item in found] if len(found) >= least else []

    return wait_until(come, f"{least} at {path}")


@pytest.mark.parametrize(("name", "severity", "component", "dashboard"), KINDS)
def test_the_webhook_gets_every_alert_with_its_links(told, name, severity, component, dashboard):
    """The links begin as prometheus.yml says, and are no labels any more."""
    found = {body["groupLabels"]["alertname"]: body for body in bodies(told, "/webhook", 3)}
    (alert,) = found[name]["alerts"]
    assert alert["status"] == "firing"
    assert alert["labels"] == {
        "alertname": name,
        "severity": severity,
        "service": "vitrine",
        "component": component,
        "environment": "local",
    }
    assert alert["annotations"]["runbook_url"] == f"{RUNBOOKS}/{name}.md"
    assert alert["annotations"]["dashboard_url"] == f"http://localhost:3000/d/{dashboard}"


def test_pagerduty_is_told_of_the_page_alone(told):
    """With the key from the file, and both links to click."""
    (body,) = bodies(told, "/pagerduty")
    assert body["routing_key"] == "0123456789abcdef0123456789abcdef"
    assert body["event_action"] == "trigger"
    assert body["links"] == [
        {"text": "Runbook", "href": f"{RUNBOOKS}/ApiWorkerCrashLoop.md"},
        {"text": "Dashboard", "href": "http://localhost:3000/d/vitrine-api"},
    ]
    assert body["payload"]["severity"] == "critical"
    assert body["payload"]["component"] == "api"
    title = "[PAGE] ApiWorkerCrashLoop in local: ApiWorkerCrashLoop & something <else>"
    assert body["payload"]["summary"] == title
    assert "Happened 3 times\nin 10 minutes." in body["payload"]["custom_details"]["summary"]


def test_slack_is_told_of_pages_and_tickets(told):
    """With a title that says what and where, and a button for each link."""
    messages = [body["attachments"][0] for body in bodies(told, "/slack", 2)]
    found = {message["title"]: message for message in messages}
    assert set(found) == {
        "[PAGE] ApiWorkerCrashLoop in local: ApiWorkerCrashLoop & something <else>",
        "[TICKET] JobsDeadLetters in local: JobsDeadLetters & something <else>",
    }
    for title, message in found.items():
        name = title.split()[1]
        assert message["color"] == ("danger" if "PAGE" in title else "warning")
        assert f"{RUNBOOKS}/{name}.md" in message["text"]
        runbook, dashboard = message["actions"]
        assert runbook["url"] == f"{RUNBOOKS}/{name}.md"
        assert dashboard["url"].startswith("http://localhost:3000/d/vitrine-")


def test_the_dead_mans_switch_is_fed_at_every_interval(told):
    """Not at every second one, which would look like a death each time."""
    began = time.monotonic()
    fed = len(bodies(told, "/deadman"))
    feeds = bodies(told, "/deadman", fed + 3)
    assert time.monotonic() - began < 10  # three intervals; every second one would be 10 to 12
    assert {feed["groupLabels"]["alertname"] for feed in feeds} == {"Watchdog"}
    assert {alert["status"] for feed in feeds for alert in feed["alerts"]} == {"firing"}
