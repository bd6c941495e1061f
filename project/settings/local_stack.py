"""Settings of the local stack: ports of Prometheus and Alertmanager, and receivers of alerts.

It stands alone because each section of the settings is a file.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings


class LocalStackSettings(BaseSettings):
    """Local stack: what `make run` starts beside the API, and receivers of its alerts."""

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
        9121, ge=1, le=65535, description="Port of the Valkey metrics exporter, on 127.0.0.1."
    )
    alert_pagerduty_key_file: Path | None = Field(
        None, description="File with a PagerDuty integration key; it receives pages."
    )
    alert_slack_url_file: Path | None = Field(
        None, description="File with a Slack incoming webhook; it receives pages and tickets."
    )
    alert_webhook_url_file: Path | None = Field(
        None, description="File with a URL that receives every alert as JSON."
    )
    alert_deadman_url_file: Path | None = Field(
        None, description="File with the URL of a dead man's switch; it receives Watchdog."
    )
