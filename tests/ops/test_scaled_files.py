"""What is made of the shipped files for a drill is valid still, as their own programs judge."""

import json
import re

import pytest

from drills.monitoring import write_prometheus
from drills.scaled import scaled
from project.local_stack import alertmanager
from project.local_stack.configs import SHIPPED, alertmanager_config
from project.local_stack.write_config import write_config
from tests.conftest import make_settings
from tests.ops.tools import need, output

FACTORS = [1, 7, 60]


@pytest.mark.parametrize("factor", FACTORS)
def test_prometheus_accepts_the_scaled_files(tmp_path, factor):
    """The configuration, and every file of rules that is shipped."""
    path = write_prometheus(tmp_path, make_settings(), factor, exporter=True)
    said = output(need("promtool"), "check", "config", str(path))
    shipped = [*SHIPPED.glob("rules/*.yml"), *SHIPPED.glob("alerts/*.yml")]
    checked = {str(tmp_path / file.relative_to(SHIPPED)) for file in shipped} | {str(path)}
    assert set(re.findall(r"Checking (\S+)\n +SUCCESS", said)) == checked


@pytest.mark.parametrize("factor", FACTORS)
def test_alertmanager_accepts_the_scaled_routes(tmp_path, factor):
    """With a receiver of each kind."""
    for name in ("key", "url"):
        (tmp_path / name).write_text("http://localhost/key")
    settings = make_settings(
        alert_pagerduty_key_file=tmp_path / "key",
        alert_slack_url_file=tmp_path / "url",
        alert_webhook_url_file=tmp_path / "url",
        alert_deadman_url_file=tmp_path / "url",
    )
    config = scaled(alertmanager_config(settings), factor)
    path = write_config(tmp_path / alertmanager.CONFIG, config)
    assert "SUCCESS" in output(need("amtool"), "check-config", str(path))


def test_nothing_but_time_is_another_in_the_scaled_routes():
    """Receivers, matchers and inhibition are those that people get."""
    config = alertmanager_config(make_settings())
    faster = scaled(config, 60)
    for key in ("inhibit_rules", "receivers", "templates"):
        assert json.dumps(faster[key]) == json.dumps(config[key])
    pairs = zip(config["route"]["routes"], faster["route"]["routes"], strict=True)
    for old, new in pairs:
        assert old.keys() == new.keys()
        assert old["receiver"] == new["receiver"]
        assert old.get("matchers") == new.get("matchers")
