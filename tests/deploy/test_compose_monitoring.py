"""What watches the containers of compose.yaml: the shipped rules and routes, with other targets."""

import os
import re
import subprocess
import sys

import pytest
import yaml

from tests.deploy.compose import FOLDER, environment, services
from tests.deploy.environment import settings_of
from tests.ops.tools import ROOT, need, output

SHIPPED = yaml.safe_load((ROOT / "prometheus/prometheus.yml").read_text())
OURS = yaml.safe_load((FOLDER / "prometheus/prometheus.yml").read_text())
RECEIVERS = {
    "ALERT_PAGERDUTY_KEY": "0123456789abcdef",
    "ALERT_SLACK_URL": "https://hooks.example.com/slack",
    "ALERT_WEBHOOK_URL": "https://example.com/hook",
    "ALERT_DEADMAN_URL": "https://example.com/ping",
}


def job(name):
    """What is said of a scrape job."""
    (found,) = [one for one in OURS["scrape_configs"] if one["job_name"] == name]
    return found


def test_prometheus_takes_it_with_the_rules(tmp_path):
    """By its own tool, with the folder of rules where this tree has it."""
    assert "../../prometheus:/etc/vitrine:ro" in services()["prometheus"]["volumes"]
    text = (FOLDER / "prometheus/prometheus.yml").read_text()
    path = tmp_path / "prometheus.yml"
    path.write_text(text.replace("/etc/vitrine", str(ROOT / "prometheus")))
    said = output(need("promtool"), "check", "config", str(path))
    count = len(list((ROOT / "prometheus").glob("rules/*.yml")))
    count += len(list((ROOT / "prometheus").glob("alerts/*.yml")))
    assert f"{count} rule files found" in said


def test_it_is_the_shipped_file_but_for_where_things_are():
    """Intervals, labels and jobs, which the rules and dashboards count on."""
    labels = SHIPPED["global"]["external_labels"]
    assert OURS["global"]["external_labels"].keys() == labels.keys()
    assert OURS["global"] | {"external_labels": labels} == SHIPPED["global"]
    relabelling = "alert_relabel_configs"
    assert OURS["alerting"][relabelling] == SHIPPED["alerting"][relabelling]
    assert [one["job_name"] for one in OURS["scrape_configs"]] == [
        one["job_name"] for one in SHIPPED["scrape_configs"]
    ]
    endings = [path.removeprefix("/etc/vitrine/") for path in OURS["rule_files"]]
    assert endings == SHIPPED["rule_files"]


def test_what_its_labels_are_filled_with_is_in_its_environment():
    """Prometheus leaves nothing where a variable is unset."""
    asked = set(re.findall(r"\$\{(\w+)\}", str(OURS["global"]["external_labels"])))
    assert asked == services()["prometheus"]["environment"].keys()
    assert all(services()["prometheus"]["environment"].values())


@pytest.mark.parametrize(
    ("name", "service", "setting"),
    [
        ("vitrine-api", "api", "metrics_port"),
        ("vitrine-worker", "worker", "worker_metrics_port"),
    ],
)
def test_each_container_is_a_target_of_its_own(name, service, setting):
    """By the name of its service, which has an address for each."""
    (found,) = job(name)["dns_sd_configs"]
    given = settings_of(environment(service))
    assert found["names"] == [service]
    assert found["type"] == "A"
    assert found["port"] == getattr(given, setting)
    assert "relabel_configs" not in job(name)  # `instance` stays the address


def test_every_other_target_is_a_service():
    """Or Prometheus itself."""
    for one in OURS["scrape_configs"]:
        for group in one.get("static_configs", []):
            for target in group["targets"]:
                assert target.partition(":")[0] in {*services(), "localhost"}


def write_receivers(folder, **given):
    """Run receivers.py as its container does; returns the path of what it wrote."""
    script = FOLDER / "alertmanager/receivers.py"
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **given}
    command = [sys.executable, str(script), str(folder)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for secret in filter(None, given.values()):
        assert secret not in done.stdout
    return folder / "alertmanager/alertmanager.yml"


def test_alertmanager_starts_where_nobody_is_to_be_told(tmp_path):
    """Variables that are empty, as they are in a new .env, name no receiver."""
    path = write_receivers(tmp_path, **dict.fromkeys(RECEIVERS, ""))
    assert "4 receivers" in output(need("amtool"), "check-config", str(path))
    receivers = yaml.safe_load(path.read_text())["receivers"]
    assert receivers == [{"name": name} for name in ("page", "ticket", "webhook", "deadman")]


def test_each_secret_makes_its_receiver(tmp_path):
    """In files that no other user reads."""
    path = write_receivers(tmp_path, **RECEIVERS)
    assert "4 receivers" in output(need("amtool"), "check-config", str(path))
    receivers = {one["name"]: one for one in yaml.safe_load(path.read_text())["receivers"]}
    assert receivers["page"].keys() == {"name", "pagerduty_configs", "slack_configs"}
    assert receivers["deadman"]["webhook_configs"][0]["url"] == RECEIVERS["ALERT_DEADMAN_URL"]
    key = receivers["page"]["pagerduty_configs"][0]["routing_key_file"]
    assert (tmp_path / "secrets/alert_pagerduty_key").read_text().strip() in RECEIVERS.values()
    assert key == str(tmp_path / "secrets/alert_pagerduty_key")
    for written in (path, *(tmp_path / "secrets").iterdir()):
        assert written.stat().st_mode & 0o077 == 0


def test_what_receivers_writes_alertmanager_reads():
    """Both run as one user, and see the files and the templates under the same paths."""
    one, other = services()["receivers"], services()["alertmanager"]
    assert one["user"] == other["user"]
    folder = one["command"][-1]
    assert f"--config.file={folder}/alertmanager/alertmanager.yml" in other["command"]
    assert f"alertmanager-config:{folder}" in one["volumes"]
    assert f"alertmanager-config:{folder}:ro" in other["volumes"]
    templates = "../../prometheus:/app/prometheus:ro"  # the tree is at /app in the image
    assert templates in one["volumes"]
    assert templates in other["volumes"]
    assert one["environment"].keys() == {*RECEIVERS, "PYTHONPATH"}


def test_it_asks_for_no_secret_that_it_does_not_need(tmp_path):
    """Neither the database nor the broker is known to it."""
    assert "env_file" not in services()["receivers"]
    assert services()["receivers"]["network_mode"] == "none"
    variables = {"ENVIRONMENT": "production", "METRICS_PORT": "9464"}  # the image's own
    write_receivers(tmp_path, **variables)


def test_grafana_has_what_its_files_ask_for():
    """Each variable in the provisioning leads to a service, or to a folder that is mounted."""
    folder = ROOT / "grafana/provisioning"
    text = "".join(path.read_text() for path in folder.rglob("*.yml"))
    asked = set(re.findall(r"(?<!\$)\$([A-Z][A-Z_]+)", text))
    grafana = services()["grafana"]
    assert asked <= grafana["environment"].keys()
    for name in asked - {"DASHBOARDS_PATH"}:
        host = re.fullmatch(r"http://([a-z]+):\d+", grafana["environment"][name])
        assert host
        assert host[1] in services()
    path = grafana["environment"]["DASHBOARDS_PATH"]
    assert f"../../grafana/dashboards:{path}:ro" in grafana["volumes"]
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home.startswith(f"{path}/")
    assert (ROOT / "grafana/dashboards" / home.removeprefix(f"{path}/")).is_file()


def test_data_sources_lead_to_each_other():
    """From numbers to alerts, from a line to its trace and back: every uid is one that exists."""
    sources = [
        source
        for path in (ROOT / "grafana/provisioning/datasources").glob("*.yml")
        for source in yaml.safe_load(path.read_text())["datasources"]
    ]
    known = {source["uid"] for source in sources}
    named = set(re.findall(r"vitrine-(?:prometheus|alertmanager|loki|tempo)", str(sources)))
    assert named == known
    by_type = {source["type"]: source["jsonData"] for source in sources}
    fields = {field["name"]: field["datasourceUid"] for field in by_type["loki"]["derivedFields"]}
    assert fields["trace_id"] == "vitrine-tempo"
    assert by_type["tempo"]["tracesToLogsV2"]["datasourceUid"] == "vitrine-loki"
