"""The settings of monitoring: ports of Prometheus and Alertmanager, and who is told of alerts."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings


class LocalStackSettings(BaseSettings):
    """What `Settings` takes from here; each with its default and one line of help."""

    monitoring: Literal["auto", "off"] = Field(
        "auto", description="auto: make run starts Prometheus and Alertmanager if installed."
    )
    prometheus_port: int = Field(
        9090, ge=1, le=65535, description="Port of Prometheus, on 127.0.0.1."
    )
    alertmanager_port: int = Field(
        9093, ge=1, le=65535, description="Port of Alertmanager, on 127.0.0.1."
    )
    valkey_exporter_port: int = Field(
        9121, ge=1, le=65535, description="Port of the exporter of Valkey's metrics, on 127.0.0.1."
    )
    alert_pagerduty_key_file: Path | None = Field(
        None, description="File with PagerDuty's integration key: it is paged."
    )
    alert_slack_url_file: Path | None = Field(
        None, description="File with Slack's incoming webhook: it gets pages and tickets."
    )
    alert_webhook_url_file: Path | None = Field(
        None, description="File with a URL that gets every alert, as JSON."
    )
    alert_deadman_url_file: Path | None = Field(
        None, description="File with the URL of a dead man's switch; it gets Watchdog each minute."
    )
