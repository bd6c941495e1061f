"""Prometheus, Alertmanager, Grafana, Loki, Tempo and Alloy of compose.yaml fit each other."""

import os
import re
import sys

from tests.deploy.command import run
from tests.deploy.compose import FOLDER, services
from tests.deploy.vm_files import load
from tests.ops import promql
from tests.ops.tools import ROOT, need, output

PROMETHEUS = FOLDER / "prometheus/prometheus.yml"
LOKI, TEMPO = load(FOLDER / "loki/loki.yaml"), load(FOLDER / "tempo/tempo.yaml")
ALLOY = (FOLDER / "alloy/config.alloy").read_text()
PORTS = {"loki": LOKI["server"]["http_listen_port"], "tempo": TEMPO["server"]["http_listen_port"]}
RECEIVERS = {
    "ALERT_PAGERDUTY_KEY": "0123456789abcdef",
    "ALERT_SLACK_URL": "https://hooks.example.com/slack",
    "ALERT_WEBHOOK_URL": "https://example.com/hook",
    "ALERT_DEADMAN_URL": "https://example.com/ping",
}


def test_promtool_accepts_prometheus_with_its_rules(tmp_path):
    assert "../../prometheus:/etc/vitrine:ro" in services()["prometheus"]["volumes"]
    path = tmp_path / "prometheus.yml"
    path.write_text(PROMETHEUS.read_text().replace("/etc/vitrine", str(ROOT / "prometheus")))
    found = output(need("promtool"), "check", "config", str(path))
    count = len([*ROOT.glob("prometheus/rules/*.yml"), *ROOT.glob("prometheus/alerts/*.yml")])
    assert f"{count} rule files found" in found


def test_prometheus_differs_from_the_shipped_one_in_its_targets_alone():
    """Intervals, labels and jobs are those that rules and dashboards expect."""
    shipped, ours = load(ROOT / "prometheus/prometheus.yml"), load(PROMETHEUS)
    labels = shipped["global"].pop("external_labels")
    given = ours["global"].pop("external_labels")
    assert given.keys() == labels.keys()
    assert ours["global"] == shipped["global"]
    kind = "alert_relabel_configs"
    assert ours["alerting"][kind] == shipped["alerting"][kind]
    jobs = [[one["job_name"] for one in every["scrape_configs"]] for every in (ours, shipped)]
    assert jobs[0] == jobs[1]
    paths = [path.removeprefix("/etc/vitrine/") for path in ours["rule_files"]]
    assert paths == shipped["rule_files"]
    variables = set(re.findall(r"\$\{(\w+)\}", str(given)))
    assert variables == services()["prometheus"]["environment"].keys()
    for one in ours["scrape_configs"]:
        assert "relabel_configs" not in one  # `instance` stays the address of each container
        for group in one.get("static_configs", []):
            hosts = {target.partition(":")[0] for target in group["targets"]}
            assert hosts <= {*services(), "localhost"}


def test_logs_and_traces_are_deleted():
    """After a month at most; with 0, or without Loki's switch, the volumes grow for ever."""
    assert LOKI["compactor"]["retention_enabled"] is True
    for kept in (
        LOKI["limits_config"]["retention_period"],
        TEMPO["backend_worker"]["compaction"]["block_retention"],
    ):
        assert 0 < promql.seconds(kept) <= 31 * 24 * 3600


def write_receivers(folder, **secrets):
    """Run receivers.py as its container does; returns the configuration that it writes."""
    command = [sys.executable, str(FOLDER / "alertmanager/receivers.py"), str(folder)]
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **secrets}
    variables |= {"ENVIRONMENT": "production", "METRICS_PORT": "9464"}  # the image's own
    done = run(*command, env=variables)
    assert done.returncode == 0, done.stderr
    assert not [secret for secret in secrets.values() if secret and secret in done.stdout]
    path = folder / "alertmanager/alertmanager.yml"
    assert "4 receivers" in output(need("amtool"), "check-config", str(path))
    return path


def test_each_secret_makes_its_receiver(tmp_path):
    """In files that no other user can read; a new .env has none, and Alertmanager starts."""
    path = write_receivers(tmp_path, **dict.fromkeys(RECEIVERS, ""))
    names = ("page", "ticket", "webhook", "deadman")
    assert load(path)["receivers"] == [{"name": name} for name in names]
    path = write_receivers(tmp_path, **RECEIVERS)
    receivers = {one["name"]: one for one in load(path)["receivers"]}
    assert receivers["page"].keys() == {"name", "pagerduty_configs", "slack_configs"}
    assert receivers["deadman"]["webhook_configs"][0]["url"] == RECEIVERS["ALERT_DEADMAN_URL"]
    key = tmp_path / "secrets/alert_pagerduty_key"
    assert receivers["page"]["pagerduty_configs"][0]["routing_key_file"] == str(key)
    assert key.read_text().strip() == RECEIVERS["ALERT_PAGERDUTY_KEY"]
    for written in (path, *(tmp_path / "secrets").iterdir()):
        assert written.stat().st_mode & 0o077 == 0


def test_addresses_in_the_configurations_are_those_of_services():
    """Grafana's data sources, by the variables of its provisioning, and Alloy's outlet."""
    folder = ROOT / "grafana/provisioning"
    text = "".join(path.read_text() for path in folder.rglob("*.yml"))
    asked = set(re.findall(r"(?<!\$)\$([A-Z][A-Z_]+)", text))
    grafana = services()["grafana"]
    assert asked <= grafana["environment"].keys()
    for name in asked - {"DASHBOARDS_PATH"}:
        host, port = re.fullmatch(r"http://([a-z]+):(\d+)", grafana["environment"][name]).groups()
        assert host in services()
        assert PORTS.get(host, int(port)) == int(port)
    path = grafana["environment"]["DASHBOARDS_PATH"]
    assert f"../../grafana/dashboards:{path}:ro" in grafana["volumes"]
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (ROOT / "grafana/dashboards" / home.removeprefix(f"{path}/")).is_file()
    assert f'url = "http://loki:{PORTS["loki"]}/loki/api/v1/push"' in ALLOY


def test_alloys_components_are_closed_and_connected():
    """Each reference names a component, and each component but the first is used."""
    plain = re.sub(r'//[^\n]*|"(\\.|[^"\\])*"', '""', ALLOY)
    assert plain.count("{") == plain.count("}")
    assert plain.count("[") == plain.count("]")
    made = set(re.findall(r'^([a-z.]+) "([a-z_]+)" \{$', ALLOY, re.MULTILINE))
    components = {f"{kind}.{label}" for kind, label in made}
    named = re.findall(r"= \[?([a-z_.]+)\.(?:targets|output|receiver)\]?$", ALLOY, re.MULTILINE)
    assert set(named) == components - {"loki.source.docker.containers"}


def test_alloys_stages_are_those_of_the_agents_file():
    agent = (ROOT / "config.alloy").read_text()
    for stage in ("json", "timestamp", "labels"):
        block = re.compile(rf"stage\.{stage} \{{.*?^\s*\}}$", re.DOTALL | re.MULTILINE)
        here, there = (re.sub(r"\s+", " ", block.search(text)[0]) for text in (ALLOY, agent))
        assert here == there
