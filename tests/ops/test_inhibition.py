"""An outage is told once: what follows from it is silent, and nothing else is."""

import pytest

from drills.waiting import wait_until
from project.local_stack.configs import alertmanager_config
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


STORM = alert("JobsRetryStorm", "ticket", "jobs", model="text_to_image")
WATCHDOG = alert("Watchdog", "none", "telemetry")
OTHERS = [
    alert("ApiInstanceDown", "ticket", "api", instance="a:8000"),
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
    followed = {"ApiInstanceDown", "ApiWorkerCrashLoop", "ModelNotLoaded"}
    assert silenced(manager, down, *OTHERS) == followed


def test_a_broker_that_is_down_silences_the_jobs(manager):
    """And not the API, which takes jobs all the same."""
    down = alert("BrokerDown", "page", "jobs")
    assert silenced(manager, down, *OTHERS) == {"JobsNotProcessing", "JobsDeadLetters"}


@pytest.mark.parametrize(
    ("name", "component"),
    [("StorageDown", "api"), ("DatabaseDown", "api"), ("ModelNotLoaded", "inference")],
)
def test_what_has_runs_put_off_silences_the_storm_of_retries(manager, name, component):
    """And nothing else: the storm passes, while jobs that failed for good stay failed."""
    others = [other for other in OTHERS if other["alertname"] != "ModelNotLoaded"]
    assert silenced(manager, alert(name, "page", component), STORM, *others) == {"JobsRetryStorm"}


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
    manager.post(alert("ApiDown", "page", "api", environment="staging"), crash, STORM)
    there = alert("ModelNotLoaded", "page", "inference", environment="staging")
    assert silenced(manager, there) == {"ModelNotLoaded"}
