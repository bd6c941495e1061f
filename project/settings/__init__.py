"""All that the environment may change: one frozen class, read once and passed down."""

import json
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from project.settings.jobs import JobSettings
from project.settings.local_stack import LocalStackSettings

SECRET_LENGTH = 8  # a header's value from this length on is taken for a secret

FLUSH_SECONDS = 6  # at a worker's end, for idle connections, logs, traces and Sentry


class Settings(JobSettings, LocalStackSettings):
    """Every setting with its default and one line of help; `.env.example` is made from it."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    environment: Literal["local", "staging", "production"] = Field(
        "local",
        description="Where this runs; outside local, secrets are demanded and logs are JSON.",
    )
    revision: str = Field("unknown", description="What was deployed: a commit or an image tag.")
    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 in a container.")
    port: int = Field(8000, ge=1, le=65535, description="Port of the API and the page.")
    metrics_port: int | None = Field(
        None, ge=1, le=65535, description="Port for /metrics alone; unset: on the public port."
    )
    metrics_token: SecretStr | None = Field(
        None,
        min_length=16,
        description="Bearer token that /metrics demands; 16 characters or more.",
    )
    forwarded_allow_ips: str = Field(
        "127.0.0.1", description="Proxies whose X-Forwarded-* headers are believed; * for any."
    )

    web_concurrency: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Gunicorn workers; unset: one for two processors, as memory allows.",
    )
    worker_timeout_seconds: int = Field(
        60, ge=2, description="A worker silent for this long is killed."
    )
    graceful_timeout_seconds: int = Field(
        30, ge=3, description="Time for running requests to finish at shutdown."
    )
    shutdown_delay_seconds: float = Field(
        0,
        ge=0,
        description="Serve on, not ready, this long after SIGTERM: the balancer looks away.",
    )
    keepalive_seconds: int = Field(
        65, ge=1, description="Idle connections live this long; longer than the balancer's."
    )
    max_requests: int = Field(
        250_000, ge=0, description="Requests after which a worker is replaced; 0: never."
    )
    max_requests_jitter: int = Field(
        25_000, ge=0, description="Random addition to it, so that workers do not leave together."
    )
    prometheus_multiproc_dir: Path | None = Field(
        None,
        description="Folder shared for metrics; prestart.sh sets it, .env is too late for it.",
    )

    models: Annotated[tuple[str, ...], NoDecode] = Field(
        ("classification", "background_removal", "style_transfer", "text_to_image"),
        description="Models to serve: file names in project/models/.",
    )
    inference_backend: Literal["auto", "cuda", "openvino", "torchscript", "torch"] = Field(
        "auto", description="What runs the nets; auto: the fastest that answers as torch does."
    )
    inference_threads: int = Field(1, ge=1, description="Torch threads in each forward pass.")
    inference_streams: int | None = Field(
        None,
        ge=1,
        description="Threads for each model in each worker; unset: one for each processor.",
    )
    inference_batch: int | None = Field(
        None, ge=1, description="Most pictures in a forward pass; unset: the fastest number."
    )
    cache_dir: Path = Field(Path("var/cache"), description="Folder for converted nets.")
    result_cache: Literal["off", "memory", "redis"] = Field(
        "off",
        description="Where results are kept for the same picture with the same parameters.",
    )
    result_cache_bytes: int = Field(
        64 * 2**20, ge=1024, description="Memory for kept results in each worker, bytes."
    )
    result_cache_seconds: float = Field(3600, gt=0, description="A result is kept this long.")
    drift_window_seconds: float = Field(
        3600, ge=12, description="Drift compares the predictions of this last while."
    )
    drift_baseline_dir: Path | None = Field(
        None, description="Folder of MODEL.baseline.json; unset: where the weights are."
    )
    admin_token: SecretStr | None = Field(
        None, min_length=16, description="Bearer token that operators' routes demand."
    )
    queue_limit: int = Field(
        64, ge=1, description="Predictions a worker admits per model; the next one gets a 503."
    )
    queue_seconds: float = Field(
        0.3, gt=0, description="Who would wait longer, at the current rate, gets a 503 as well."
    )
    refusal_pause_seconds: float = Field(
        0.1, ge=0, description="Who is refused and asks again at once is heard after so long."
    )
    prediction_deadline_seconds: float = Field(
        10, gt=0, description="A prediction that takes longer gets a 504."
    )
    max_body_bytes: int = Field(10 * 2**20, ge=1024, description="Largest request body, bytes.")
    body_timeout_seconds: float = Field(
        30, gt=0, description="A body that takes longer to come gets a 408."
    )
    max_image_pixels: int = Field(
        50_000_000, ge=1, description="Most pixels in an image, checked before decoding."
    )
    min_image_side: int = Field(8, ge=1, description="Least width and height of an image, pixels.")

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least severity that is logged."
    )
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="console for people, json for machines; auto: console only in local."
    )
    log_file: Path | None = Field(None, description="JSON lines go there as well; unset: nowhere.")
    log_cloud: Literal["none", "gcp"] = Field(
        "none", description="gcp: the field names that Cloud Logging reads."
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
    sentry_dsn: SecretStr | None = Field(None, description="Where errors go; unset: nowhere.")

    @field_validator("models", mode="before")
    @classmethod
    def _read_models(cls, value: object) -> object:
        """Accept a JSON list or names with commas between them."""
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("["):
            try:
                return tuple(json.loads(value))
            except ValueError as error:
                raise ValueError('write it as ["classification"] or classification') from error
        return tuple(name.strip() for name in value.split(",") if name.strip())

    @field_validator("models")
    @classmethod
    def _some_models_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError("name at least one model, each once")
        if not all(name.isidentifier() for name in value):
            raise ValueError('write it as ["classification"] or classification')
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.environment != "local" and not (self.metrics_token or self.metrics_port):
            raise ValueError(
                f"METRICS_TOKEN: missing with ENVIRONMENT={self.environment}; "
                "set it, or METRICS_PORT to keep /metrics off the public port"
            )
        if self.result_cache == "redis" and self.redis_url is None:
            raise ValueError("REDIS_URL: missing with RESULT_CACHE=redis")
        if self.jobs and self.environment != "local" and self.redis_url is None:
            raise ValueError(
                f"REDIS_URL: missing with ENVIRONMENT={self.environment}; "
                "set it, or JOBS=off to take no jobs"
            )
        if self.metrics_port == self.port:
            raise ValueError("METRICS_PORT: choose another than PORT")
        needed = self.shutdown_delay_seconds + self.prediction_deadline_seconds + FLUSH_SECONDS
        if self.graceful_timeout_seconds < needed:
            raise ValueError(
                "GRACEFUL_TIMEOUT_SECONDS: must hold SHUTDOWN_DELAY_SECONDS, then "
                f"PREDICTION_DEADLINE_SECONDS, and {FLUSH_SECONDS} s: at least {needed:g}"
            )
        if self.worker_timeout_seconds <= self.graceful_timeout_seconds:
            raise ValueError("WORKER_TIMEOUT_SECONDS: must exceed GRACEFUL_TIMEOUT_SECONDS")
        return self

    @property
    def log_json(self) -> bool:
        """Whether log lines are JSON."""
        if self.log_format == "auto":
            return self.environment != "local" or self.log_cloud != "none"
        return self.log_format == "json"

    @property
    def otlp_headers(self) -> dict[str, str]:
        """Headers for the collector; their values are URL-encoded, as OpenTelemetry has it."""
        secret = self.otel_exporter_otlp_headers
        pairs = (secret.get_secret_value() if secret else "").split(",")
        split = (pair.partition("=") for pair in pairs if "=" in pair)
        return {name.strip(): unquote(value.strip()) for name, _, value in split}

    def secrets(self) -> list[str]:
        """Values that must never be shown, longest first."""
        given = {name: getattr(self, name) for name in type(self).model_fields}
        found = {
            value.get_secret_value()
            for name, value in given.items()
            if isinstance(value, SecretStr) and value != type(self).model_fields[name].default
        }  # a default stands in the source and is none
        found |= {value for value in self.otlp_headers.values() if len(value) >= SECRET_LENGTH}
        passwords = (urlsplit(url).password or "" for url in found)
        found |= {unquote(word) for word in passwords if len(word) >= SECRET_LENGTH}
        return sorted(found, key=len, reverse=True)
