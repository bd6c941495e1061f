"""What Prometheus and Alertmanager read fits the machine: its ports, its token, its receivers."""

import pytest
import yaml

from project.errors import ConfigurationError
from project.local_stack import alertmanager, prometheus
from project.local_stack.configs import (
    SHIPPED,
    alertmanager_config,
    prometheus_config,
    targets,
)
from tests.conftest import make_settings

TOKEN = "0123456789abcdef"


def addresses(config: dict) -> dict[str, str]:
    """Scrape job → its one target."""
    jobs = config["scrape_configs"]
    return {job["job_name"]: job["static_configs"][0]["targets"][0] for job in jobs}


def receivers(config: dict) -> dict[str, set[str]]:
    """Receiver → the kinds of its entries."""
    return {item["name"]: set(item) - {"name"} for item in config["receivers"]}


def test_every_process_is_scraped_where_it_listens():
    """Ports are settings, so the file in the tree cannot know them."""
    settings = make_settings(jobs=True, port=8001, prometheus_port=9999)
    found = targets(settings, exporter=True)
    assert addresses(prometheus_config(settings, addresses=found)) == {
        "vitrine-api": "127.0.0.1:8001",
        "vitrine-worker": "127.0.0.1:9191",
        "valkey": "127.0.0.1:9121",
        "prometheus": "127.0.0.1:9999",
        "alertmanager": "127.0.0.1:9093",
    }


@pytest.mark.parametrize(
    ("changes", "address"),
    [
        ({"metrics_port": 9100}, "127.0.0.1:9100"),
        ({"host": "0.0.0.0"}, "127.0.0.1:8000"),
        ({"host": "::1"}, "[::1]:8000"),
        ({"host": "10.0.0.7"}, "10.0.0.7:8000"),
    ],
)
def test_the_api_is_scraped_on_the_port_that_has_its_metrics(changes, address):
    """An address to listen on is not always one to connect to."""
    assert targets(make_settings(**changes))["vitrine-api"] == address


def test_what_does_not_run_is_not_scraped():
    """A target that is never there would be an alert that always fires."""
    settings = make_settings(jobs=False)
    config = prometheus_config(settings, addresses=targets(settings, alertmanager=False))
    assert set(addresses(config)) == {"vitrine-api", "prometheus"}
    assert "alertmanagers" not in config["alerting"]


def test_alerts_are_sent_to_the_alertmanager_that_is_scraped():
    """There is one place for its address."""
    config = prometheus_config(make_settings(alertmanager_port=9999))
    assert config["alerting"]["alertmanagers"] == [
        {"static_configs": [{"targets": ["127.0.0.1:9999"]}]}
    ]


def test_rules_are_read_from_the_tree(tmp_path):
    """Or from a folder of the caller's."""
    assert prometheus_config(make_settings())["rule_files"] == [
        f"{SHIPPED}/rules/*.yml",
        f"{SHIPPED}/alerts/*.yml",
    ]
    config = prometheus_config(make_settings(), rules=tmp_path)
    assert config["rule_files"] == [f"{tmp_path}/rules/*.yml", f"{tmp_path}/alerts/*.yml"]


def test_the_environment_is_a_label_of_everything_that_leaves():
    """Whoever reads an alert of staging has to see that it is of staging."""
    settings = make_settings(environment="staging", metrics_token=TOKEN)
    labels = prometheus_config(settings)["global"]["external_labels"]
    assert labels["environment"] == "staging"
    assert set(labels) == {"environment", "grafana_url", "runbooks_url"}


def test_the_token_is_in_a_file_of_its_own(tmp_path):
    """It is sent as a password, stands in no configuration, and only this user reads it."""
    settings = make_settings(jobs=True, metrics_token=TOKEN)
    path = prometheus.write(settings, targets(settings), storage=tmp_path)
    jobs = {job["job_name"]: job for job in yaml.safe_load(path.read_text())["scrape_configs"]}
    assert TOKEN not in path.read_text()
    file = tmp_path / "prometheus/metrics_token"
    assert file.read_text() == TOKEN
    assert file.stat().st_mode & 0o777 == 0o600
    for name in ("vitrine-api", "vitrine-worker"):
        assert jobs[name]["basic_auth"]["password_file"] == str(file)
    assert "basic_auth" not in jobs["prometheus"]


def test_without_a_token_none_is_sent():
    """Prometheus would fail each scrape for want of the file."""
    assert "basic_auth" not in str(prometheus_config(make_settings(jobs=True)))


def test_a_fresh_clone_notifies_nobody():
    """All receivers are there, so that routing is the same; none has an entry."""
    config = alertmanager_config(make_settings())
    assert receivers(config) == {"page": set(), "ticket": set(), "webhook": set(), "deadman": set()}


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret"
    path.write_text("https://example.com/hook\n")
    return path


@pytest.mark.parametrize(
    ("setting", "kinds"),
    [
        ("alert_pagerduty_key_file", {"page": {"pagerduty_configs"}}),
        (
            "alert_slack_url_file",
            {"page": {"slack_configs"}, "ticket": {"slack_configs"}},
        ),
        ("alert_webhook_url_file", {"webhook": {"webhook_configs"}}),
        ("alert_deadman_url_file", {"deadman": {"webhook_configs"}}),
    ],
)
def test_a_setting_brings_its_receiver_and_no_other(secret, setting, kinds):
    """Each can be used without the others."""
    config = alertmanager_config(make_settings(**{setting: secret}))
    nobody = {name: set() for name in ("page", "ticket", "webhook", "deadman")}
    assert receivers(config) == nobody | kinds
    assert "ALERT_" not in str(config)


def test_secrets_are_read_by_alertmanager_where_it_can(secret):
    """The key and Slack's URL stay in their files; those of webhooks cannot, in 0.25."""
    settings = make_settings(alert_slack_url_file=secret, alert_webhook_url_file=secret)
    found = {item["name"]: item for item in alertmanager_config(settings)["receivers"]}
    assert found["ticket"]["slack_configs"][0]["api_url_file"] == str(secret)
    assert found["webhook"]["webhook_configs"][0]["url"] == "https://example.com/hook"


def test_what_alertmanager_reads_is_for_this_user_alone(secret, tmp_path):
    """It holds URLs that whoever knows may post to."""
    settings = make_settings(alert_webhook_url_file=secret)
    path = alertmanager.write(settings, storage=tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.chmod(0o644)
    assert alertmanager.write(settings, storage=tmp_path).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "cannot read .*: No such file"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"example.com/hook", "holds no URL"),
        (b"\xff\xfe", "it is not text"),
    ],
    ids=["missing", "empty", "blank", "no URL", "not text"],
)
def test_a_secret_that_cannot_be_used_is_one_line(tmp_path, content, fault):
    """It names the setting and the file, and shows nothing of what is in it."""
    path = tmp_path / "hook"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=f"^ALERT_WEBHOOK_URL_FILE: .*{fault}") as caught:
        alertmanager_config(make_settings(alert_webhook_url_file=path))
    assert "\n" not in caught.value.detail
    assert "example.com" not in caught.value.detail


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    """As when a file has its name."""
    (tmp_path / "alertmanager").write_text("mine")
    with pytest.raises(ConfigurationError, match="cannot write"):
        alertmanager.write(make_settings(), storage=tmp_path)
