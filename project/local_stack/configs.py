"""The shipped prometheus.yml and alertmanager.yml, adapted to this machine.

Alertmanager expands no variables, and 0.25 cannot read the URL of a webhook from a file. So its
configuration is generated from the file in the tree, with the secrets that the settings name.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from project.errors import ConfigurationError
from project.processes.ports import LOOPBACK, reachable_host
from project.settings import Settings

SHIPPED = Path(__file__).parents[2] / "prometheus"
STORAGE = Path("var")  # its prometheus/ and alertmanager/ hold configuration and data
TOKEN = "prometheus/metrics_token"  # noqa: S105 - a file's name, in STORAGE

Config = dict[str, Any]


def targets(
    settings: Settings, *, alertmanager: bool = True, exporter: bool = False
) -> dict[str, str]:
    """Scrape job → address of that process on this machine.

    alertmanager, exporter: whether they run.
    """
    host = reachable_host(settings.host)
    found = {"vitrine-api": f"{host}:{settings.metrics_port or settings.port}"}
    if settings.jobs:
        found["vitrine-worker"] = f"{host}:{settings.worker_metrics_port}"
    if exporter:
        found["valkey"] = f"{LOOPBACK}:{settings.valkey_exporter_port}"
    found["prometheus"] = f"{LOOPBACK}:{settings.prometheus_port}"
    if alertmanager:
        found["alertmanager"] = f"{LOOPBACK}:{settings.alertmanager_port}"
    return found


def prometheus_config(
    settings: Settings,
    *,
    addresses: Mapping[str, str] | None = None,
    rules: Path = SHIPPED,
    storage: Path = STORAGE,
) -> Config:
    """The shipped prometheus.yml with this machine's addresses, labels and token.

    addresses: scrape job → address; None: those of `targets`. A job that is not in it is left out,
    and without `alertmanager` no alert is sent. rules: the folder with rules/ and alerts/.
    storage: the folder with TOKEN.
    """
    addresses = targets(settings) if addresses is None else addresses
    config = _read("prometheus.yml")
    config["global"]["external_labels"]["environment"] = settings.environment
    config["rule_files"] = [str(rules.absolute() / path) for path in config["rule_files"]]
    if "alertmanager" in addresses:
        given = [{"static_configs": [{"targets": [addresses["alertmanager"]]}]}]
        config["alerting"]["alertmanagers"] = given
    else:
        del config["alerting"]["alertmanagers"]
    jobs = [job for job in config["scrape_configs"] if job["job_name"] in addresses]
    for job in jobs:
        job["static_configs"] = [{"targets": [addresses[job["job_name"]]]}]
        if settings.metrics_token is None:
            job.pop("basic_auth", None)
        elif "basic_auth" in job:
            job["basic_auth"]["password_file"] = str(storage.absolute() / TOKEN)
    config["scrape_configs"] = jobs
    return config


def alertmanager_config(settings: Settings) -> Config:
    """The shipped alertmanager.yml with the receivers that the settings name, and no others.

    Raises ConfigurationError where the file of a secret is missing or empty. The result may hold
    secrets: write it with `write_config`.
    """
    config = _read("alertmanager.yml")
    config["templates"] = [str(SHIPPED / path) for path in config["templates"]]
    paths = {
        "ALERT_PAGERDUTY_KEY_FILE": settings.alert_pagerduty_key_file,
        "ALERT_SLACK_URL_FILE": settings.alert_slack_url_file,
        "ALERT_WEBHOOK_URL_FILE": settings.alert_webhook_url_file,
        "ALERT_DEADMAN_URL_FILE": settings.alert_deadman_url_file,
    }
    for receiver in config["receivers"]:
        for kind in [kind for kind in receiver if kind.endswith("_configs")]:
            entries = (_fill_in(entry, paths) for entry in receiver[kind])
            receiver[kind] = [entry for entry in entries if entry is not None]
            if not receiver[kind]:
                del receiver[kind]
    return config


def _fill_in(entry: Config, paths: Mapping[str, Path | None]) -> Config | None:
    """A receiver's entry with its secret; None where the setting of that secret is unset."""
    filled = dict(entry)
    for key, value in entry.items():
        name = str(value).removeprefix("http://")
        if name not in paths:
            continue
        path = paths[name]
        if path is None:
            return None
        secret = _read_secret(path, name)
        if key.endswith("_file"):
            filled[key] = str(path.absolute())
        elif secret.startswith(("http://", "https://")):
            filled[key] = secret
        else:
            raise ConfigurationError(f"{name}: {path} holds no URL; one begins with https://")
    return filled


def _read_secret(path: Path, name: str) -> str:
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigurationError(f"{name}: cannot read {path}: {reason}") from error
    if not secret:
        raise ConfigurationError(f"{name}: {path} is empty; write the secret into it, or unset it")
    return secret


def _read(name: str) -> Config:
    config: Config = yaml.safe_load((SHIPPED / name).read_text(encoding="utf-8"))
    return config
