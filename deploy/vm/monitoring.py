#!/usr/bin/env python3
"""Writes what Prometheus and Alertmanager read here: monitoring.py FOLDER PORT….

From the files in prometheus/ of the release, with this machine's instances in their targets. PORT:
of an instance of the API, whose metrics are on 1PORT. It looks for rules where `current` points,
so that a release brings its own. The receivers of alerts are those that the settings name.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from project.errors import ConfigurationError
from project.local_stack.configs import alertmanager_config, prometheus_config, targets
from project.local_stack.write_config import write_config
from project.settings.loading import load_settings

CURRENT = Path("/opt/vitrine/current")
NODE = "127.0.0.1:9100"


def main() -> None:
    """Write both."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("ports", nargs="+")
    parser.add_argument("--grafana", help="where Grafana is, for the links of alerts")
    parser.add_argument("--runbooks", help="where the runbooks are, likewise")
    parser.add_argument("--broker", action="store_true", help="its exporter runs here")
    parser.add_argument("--current", type=Path, default=CURRENT, help="the release that serves")
    given = parser.parse_args()
    try:
        write_config(given.folder / "prometheus.yml", of_prometheus(given))
        write_config(given.folder / "alertmanager.yml", of_alertmanager(given.current))
    except ConfigurationError as error:
        sys.exit(error.detail)


def of_prometheus(given: argparse.Namespace) -> dict[str, Any]:
    """The configuration of Prometheus."""
    settings = load_settings()
    addresses = targets(settings, exporter=given.broker)
    config = prometheus_config(settings, addresses=addresses, rules=given.current / "prometheus")
    config["rule_files"].append(str(given.current / "deploy/vm/prometheus/machine.yml"))
    labels = config["global"]["external_labels"]
    labels["grafana_url"] = given.grafana or labels["grafana_url"]
    labels["runbooks_url"] = given.runbooks or labels["runbooks_url"]
    for job in config["scrape_configs"]:
        if job["job_name"] == "vitrine-api":
            job["static_configs"] = [{"targets": [f"127.0.0.1:1{port}" for port in given.ports]}]
    config["scrape_configs"].append({"job_name": "node", "static_configs": [{"targets": [NODE]}]})
    return config


def of_alertmanager(current: Path) -> dict[str, Any]:
    """The configuration of Alertmanager, which may hold secrets."""
    config = alertmanager_config(load_settings())
    config["templates"] = [str(current / "prometheus/templates/*.tmpl")]
    return config


if __name__ == "__main__":
    main()
