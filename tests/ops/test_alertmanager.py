"""Alertmanager accepts what we ship, and each kind of alert goes where it has to."""

import pytest
import yaml

from project.local_stack import alertmanager
from tests.conftest import make_settings
from tests.ops.tools import ROOT, need, output

SETTINGS = (
    "alert_pagerduty_key_file",
    "alert_slack_url_file",
    "alert_webhook_url_file",
    "alert_deadman_url_file",
)
ROUTES = [
    ("ApiDown", "page", "api", "webhook,page"),
    ("ApiErrorBudgetBurn", "page", "api", "webhook,page"),
    ("ApiErrorBudgetBurn", "ticket", "api", "webhook,ticket"),
    ("JobsNotProcessing", "page", "jobs", "webhook,page"),
    ("InputDrift", "ticket", "inference", "webhook,ticket"),
    ("EventLoopBlocked", "ticket", "runtime", "webhook,ticket"),
    ("Watchdog", "none", "telemetry", "webhook,deadman"),
    ("AnotherTeams", "critical", "theirs", "webhook,ticket"),
]


RECEIVERS = {"page": "webhook,page", "ticket": "webhook,ticket", "none": "webhook,deadman"}
SHIPPED = {
    (rule["alert"], *sorted(rule["labels"].items()))
    for path in sorted((ROOT / "prometheus/alerts").glob("*.yml"))
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
}


@pytest.fixture(params=["shipped", "fresh clone", "pages only", "all receivers"])
def config(request, tmp_path) -> str:
    """The file in the tree, and what is made of it for some receivers."""
    if request.param == "shipped":
        return str(ROOT / "prometheus/alertmanager.yml")
    named = {"fresh clone": (), "pages only": SETTINGS[:1], "all receivers": SETTINGS}
    secret = tmp_path / "secret"
    secret.write_text("https://example.com/hook")
    settings = make_settings(**dict.fromkeys(named[request.param], secret))
    return str(alertmanager.write(settings, storage=tmp_path))


def test_it_is_valid(config):
    """And so are its templates."""
    said = output(need("amtool"), "check-config", config)
    assert "4 inhibit rules" in said
    assert "4 receivers" in said
    assert "1 templates" in said


@pytest.mark.parametrize(("name", "severity", "component", "receivers"), ROUTES)
def test_an_alert_goes_where_it_has_to(config, name, severity, component, receivers):
    """A page wakes somebody, a ticket waits, Watchdog feeds the dead man's switch.

    The webhook gets all of them, and what nobody has thought of is a ticket.
    """
    labels = [f"alertname={name}", f"severity={severity}", f"component={component}"]
    options = ["--config.file", config, "--verify.receivers", receivers]
    output(need("amtool"), "config", "routes", "test", *options, *labels, "service=vitrine")


@pytest.mark.parametrize(("name", "labels"), [(name, labels) for name, *labels in sorted(SHIPPED)])
def test_every_alert_that_we_ship_is_told_by_its_severity(name, labels):
    """Whatever other labels it has."""
    shipped = str(ROOT / "prometheus/alertmanager.yml")
    options = ["--config.file", shipped, "--verify.receivers", RECEIVERS[dict(labels)["severity"]]]
    words = [f"{key}={value}" for key, value in [("alertname", name), *labels]]
    output(need("amtool"), "config", "routes", "test", *options, *words)
