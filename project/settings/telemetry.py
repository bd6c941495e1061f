"""Telemetry settings: logs, traces, errors and the metrics folder."""

from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings


class TelemetrySettings(BaseSettings):
    """Telemetry: logs, traces and errors."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Minimum severity that is logged."
    )
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="console for people, json for machines; auto: console only in local."
    )
    log_file: Path | None = Field(
        None, description="File that receives the log as JSON lines as well; unset: none."
    )
    log_cloud: Literal["none", "gcp"] = Field(
        "none", description="gcp: the field names of Google Cloud Logging."
    )
    google_cloud_project: str | None = Field(
        None, description="Project for trace links in Cloud Logging."
    )
    otel_service_name: str = Field("vitrine", description="Service name on traces.")
    otel_exporter_otlp_endpoint: str | None = Field(
        None, description="OTLP/HTTP collector, such as http://localhost:4318; unset: no export."
    )
    otel_exporter_otlp_headers: SecretStr | None = Field(
        None, description="Headers for the collector: name=value,name=value."
    )
    otel_traces_sampler_arg: float = Field(
        1.0, ge=0, le=1, description="Share of new traces that is exported."
    )
    sentry_dsn: SecretStr | None = Field(
        None, description="Sentry project that receives errors; unset: none."
    )
    prometheus_multiproc_dir: Path | None = Field(
        None,
        description="Folder of the metric files of all processes; prestart.sh exports it.",
    )

    @property
    def otlp_headers(self) -> dict[str, str]:
        """Headers for the collector; values are URL-decoded, as the OTLP specification has it."""
        secret = self.otel_exporter_otlp_headers
        pairs = (secret.get_secret_value() if secret else "").split(",")
        split = (pair.partition("=") for pair in pairs if "=" in pair)
        return {name.strip(): unquote(value.strip()) for name, _, value in split}
