"""agent-config.yaml keeps to what Grafana Agent documents, so that Alloy runs it unchanged."""

import json
import re
from datetime import datetime

import pytest
import yaml
from loguru import logger

from project.observability.logging import configure_logging
from tests.conftest import make_settings
from tests.ops.tools import ROOT

CONFIG = yaml.safe_load((ROOT / "agent-config.yaml").read_text())
PROMETHEUS = yaml.safe_load((ROOT / "prometheus/prometheus.yml").read_text())
METRICS, LOGS, TRACES = (CONFIG[kind]["configs"][0] for kind in ("metrics", "logs", "traces"))

# Of each block, the keys that we use of those that its page documents:
# grafana.com/docs/agent/latest/static/configuration/
DOCUMENTED = {
    "server": (CONFIG["server"], {"log_level"}),
    "metrics": (CONFIG["metrics"], {"wal_directory", "global", "configs"}),
    "metrics.global": (
        CONFIG["metrics"]["global"],
        {"scrape_interval", "scrape_timeout", "external_labels", "remote_write"},
    ),
    "metrics.configs": (METRICS, {"name", "scrape_configs"}),
    "logs": (CONFIG["logs"], {"positions_directory", "configs"}),
    "logs.configs": (LOGS, {"name", "clients", "scrape_configs"}),
    "logs.clients": (LOGS["clients"][0], {"url", "basic_auth", "external_labels"}),
    "logs.scrape": (
        LOGS["scrape_configs"][0],
        {"job_name", "static_configs", "pipeline_stages"},
    ),
    "traces": (CONFIG["traces"], {"configs"}),
    "traces.configs": (TRACES, {"name", "receivers", "batch", "remote_write"}),
    "traces.remote_write": (TRACES["remote_write"][0], {"endpoint", "basic_auth"}),
}


def every(key: str, value: object) -> list[object]:
    """All that stands under a key, however deep."""
    if isinstance(value, list):
        return [found for item in value for found in every(key, item)]
    if not isinstance(value, dict):
        return []
    here = [value[key]] if key in value else []
    return here + [found for item in value.values() for found in every(key, item)]


def test_it_has_the_blocks_that_both_know():
    """Integrations would not be taken over unchanged."""
    assert list(CONFIG) == ["server", "metrics", "logs", "traces"]


@pytest.mark.parametrize("block", DOCUMENTED)
def test_a_block_has_the_keys_that_are_documented(block):
    """An unknown key keeps the Agent from starting; none of ours is left out either."""
    value, keys = DOCUMENTED[block]
    assert set(value) == keys


def test_it_scrapes_what_prometheus_scrapes_of_ours():
    """Rules and dashboards select by these names."""
    ours = [job for job in PROMETHEUS["scrape_configs"] if job["job_name"].startswith("vitrine-")]
    targets = {job["job_name"]: every("targets", job) for job in ours}
    assert {job["job_name"]: every("targets", job) for job in METRICS["scrape_configs"]} == targets
    given = CONFIG["metrics"]["global"]
    for key in ("scrape_interval", "scrape_timeout"):
        assert given[key] == PROMETHEUS["global"][key]


def test_secrets_are_in_files():
    """Neither the file nor `ps` shows one, and nothing has to be expanded."""
    auths = every("basic_auth", CONFIG)
    assert len(auths) == 5
    for auth in auths:
        assert set(auth) == {"username", "password_file"}


def test_what_becomes_a_label_is_in_every_line(tmp_path):
    """The stages read the names that the program logs; ids are no labels."""
    settings = make_settings(log_file=tmp_path / "log")
    configure_logging(settings)
    logger.bind(request_id="r").info("anything")
    line = json.loads((tmp_path / "log").read_text().splitlines()[0])
    stages = LOGS["scrape_configs"][0]["pipeline_stages"]
    (extracted,) = every("expressions", stages)
    assert set(extracted.values()) <= set(line)
    assert datetime.fromisoformat(line["time"]).tzinfo is not None
    (stamp,) = every("timestamp", stages)
    assert stamp == {"source": "time", "format": "RFC3339Nano"}
    assert re.fullmatch(r"[-\d]+T[:.\d]+[+-]\d\d:\d\d", line["time"])
    (labels,) = every("labels", stages)
    assert set(labels) == {"severity", "logger"} <= set(extracted)
