"""What agent-config.yaml scrapes, and where it writes to, is checked by Prometheus' own tool."""

import pytest
import yaml

from tests.ops.tools import ROOT, need, output


@pytest.fixture
def config(tmp_path):
    """Its scrape part as a configuration of Prometheus, with the files of its secrets."""
    text = (ROOT / "agent-config.yaml").read_text().replace("/etc/vitrine", str(tmp_path))
    for name in ("metrics_token", "grafana_token"):
        (tmp_path / name).write_text("secret")
    metrics = yaml.safe_load(text)["metrics"]
    given = metrics["global"]
    extracted = {
        "remote_write": given.pop("remote_write"),
        "global": given,
        "scrape_configs": metrics["configs"][0]["scrape_configs"],
    }
    path = tmp_path / "prometheus.yml"
    path.write_text(yaml.safe_dump(extracted))
    return path


def test_its_scrape_part_is_valid(config):
    """With the files that it names."""
    assert "SUCCESS" in output(need("promtool"), "check", "config", str(config))
