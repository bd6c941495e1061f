"""An outage is told once: what follows from it is silent, and nothing else is."""

import pytest

from drills.waiting import wait_until
from project.monitoring.configs import alertmanager_config
from tests.conftest import make_settings
from tests.ops.alertmanagers import Alertmanager, alertmanagers


@pytest.fixture
def manager(tmp_path):
    """An Alertmanager as shipped, that notifies nobody."""
    with alertmanagers(tmp_path, alertmanager_config(make_settings())) as found:
        yield found


def alert(name: str, severity: str, component: str, **more: str) -> dict[str, str]:
    """The labels of an alert of ours."""
    labels = {"alertname": name, "severity": severity, "component": component}
    return {**labels, "service": "vitrine", "environment": "production", **more}


WATCHDOG = alert("Watchdog", "none", "telemetry")
OTHERS = [
    alert("ApiWorkerCrashLoop", "page", "api"),
    alert("ModelNotLoaded", "page", "inference", model="classification"),
    alert("JobsNotProcessing", "page", "jobs"),
    alert("JobsDeadLetters", "ticket", "jobs"),
    alert("MemoryNearLimit", "ticket", "runtime"),
    WATCHDOG,
]


def silenced(manager: Alertmanager, *alerts: dict[str, str]) -> set[str]:
    """Have alerts fire; returns the names of those that others silence, once there are some."""
    manager.post(*alerts)
    wait_until(manager.inhibited, "an alert is inhibited")
    return {name for name, _ in manager.inhibited()}


def test_an_api_that_is_down_silences_what_follows_from_it(manager):
    """Jobs, processes and the watchdog are told of as before."""
    down = alert("ApiDown", "page", "api")
    assert silenced(manager, down, *OTHERS) == {"ApiWorkerCrashLoop", "ModelNotLoaded"}


def test_a_broker_that_is_down_silences_the_jobs(manager):
    """And not the API, which takes jobs all the same."""
    down = alert("BrokerDown", "page", "jobs")
    assert silenced(manager, down, *OTHERS) == {"JobsNotProcessing", "JobsDeadLetters"}


def test_a_page_silences_its_own_ticket(manager):
    """Whatever else differs between their labels; the tickets of others stay."""
    burns = [
        alert("ApiErrorBudgetBurn", "page", "api", burn="fast"),
        alert("ApiErrorBudgetBurn", "ticket", "api", burn="ticket"),
        alert("ApiLatencyBudgetBurn", "ticket", "api", burn="ticket"),
    ]
    silenced(manager, *burns, *OTHERS)
    assert manager.inhibited() == {("ApiErrorBudgetBurn", "ticket")}


def test_an_outage_of_staging_says_nothing_of_production(manager):
    """One Alertmanager may serve several environments."""
    crash = alert("ApiWorkerCrashLoop", "page", "api")
    manager.post(alert("ApiDown", "page", "api", environment="staging"), crash)
    there = alert("ModelNotLoaded", "page", "inference", environment="staging")
    assert silenced(manager, there) == {"ModelNotLoaded"}
