"""Prometheus accepts what we ship, and what is made of it for a machine."""

import pytest

from project.local_stack import prometheus
from project.local_stack.configs import targets
from tests.conftest import make_settings
from tests.ops.tools import ROOT, need, output


def test_the_shipped_file_is_valid():
    """By its syntax; the token's file is on the machine where it runs."""
    shipped = str(ROOT / "prometheus/prometheus.yml")
    assert "SUCCESS" in output(need("promtool"), "check", "config", "--syntax-only", shipped)


@pytest.mark.parametrize(
    "changes",
    [{}, {"jobs": True}, {"metrics_token": "0123456789abcdef"}, {"host": "::1"}],
    ids=["plain", "jobs", "token", "IPv6"],
)
@pytest.mark.parametrize("exporter", [True, False])
@pytest.mark.parametrize("alertmanager", [True, False])
def test_what_is_made_of_it_is_valid(tmp_path, changes, exporter, alertmanager):
    """With the files that it names, and so with the rules."""
    settings = make_settings(**changes)
    addresses = targets(settings, exporter=exporter, alertmanager=alertmanager)
    path = prometheus.write(settings, addresses, storage=tmp_path)
    assert "SUCCESS" in output(need("promtool"), "check", "config", str(path))
