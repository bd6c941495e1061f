"""Everything that the environment configures: one frozen class, read once and passed down."""

from typing import Self
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from project.settings.accounts import AccountSettings
from project.settings.inference import InferenceSettings
from project.settings.jobs import JobSettings
from project.settings.local_stack import LocalStackSettings
from project.settings.server import ServerSettings
from project.settings.telemetry import TelemetrySettings

SECTIONS: tuple[type[BaseSettings], ...] = (
    ServerSettings,
    InferenceSettings,
    TelemetrySettings,
    JobSettings,
    AccountSettings,
    LocalStackSettings,
)
# Exported by prestart.sh and the supervisor to the processes that they start; .env is too late.
INTERNAL = frozenset({"prometheus_multiproc_dir", "worker_slot"})

MIN_SECRET_CHARACTERS = 8  # a password or a header's value of fewer is not masked
_ACCOUNT_ADVICE = {
    "ADMIN_PASSWORD": "ADMIN_EMAIL needs it",
    "ADMIN_EMAIL": "ADMIN_PASSWORD needs it",
    "OIDC_AUDIENCE": "OIDC_ISSUER needs it",
    "MAIL_FROM": "SMTP_URL needs it",
    "PUBLIC_URL": "SMTP_URL needs it, for the link in a mail",
}
FLUSH_SECONDS = 6  # at a worker's end, for idle connections, logs, traces and Sentry


# Pydantic takes fields from the last base first.
class Settings(
    LocalStackSettings,
    AccountSettings,
    JobSettings,
    TelemetrySettings,
    InferenceSettings,
    ServerSettings,
):
    """Every setting with its default and a line of help; `.env.example` is generated from it."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if self.environment != "local" and not (self.metrics_token or self.metrics_port):
            raise ValueError(
                f"METRICS_TOKEN: missing with ENVIRONMENT={self.environment}; "
                "set it, or METRICS_PORT to serve /metrics on a separate port"
            )
        if self.result_cache == "redis" and self.redis_url is None:
            raise ValueError("REDIS_URL: missing with RESULT_CACHE=redis")
        if self.jobs and self.environment != "local" and self.redis_url is None:
            raise ValueError(
                f"REDIS_URL: missing with ENVIRONMENT={self.environment}; "
                "set it, or JOBS=off to accept no jobs"
            )
        if self.metrics_port == self.port:
            raise ValueError("METRICS_PORT: choose another than PORT")
        needed = self.shutdown_delay_seconds + self.prediction_deadline_seconds + FLUSH_SECONDS
        if self.graceful_timeout_seconds < needed:
            raise ValueError(
                "GRACEFUL_TIMEOUT_SECONDS: must cover SHUTDOWN_DELAY_SECONDS, then "
                f"PREDICTION_DEADLINE_SECONDS, and {FLUSH_SECONDS} s: at least {needed:g}"
            )
        if self.worker_timeout_seconds <= self.graceful_timeout_seconds:
            raise ValueError("WORKER_TIMEOUT_SECONDS: must exceed GRACEFUL_TIMEOUT_SECONDS")
        return self

    @model_validator(mode="after")
    def _check_accounts(self) -> Self:
        required = {
            "ADMIN_PASSWORD": bool(self.admin_email) and self.admin_password is None,
            "ADMIN_EMAIL": self.admin_password is not None and not self.admin_email,
            "OIDC_AUDIENCE": bool(self.oidc_issuer) and not self.oidc_audience,
            "MAIL_FROM": self.smtp_url is not None and not self.mail_from,
            "PUBLIC_URL": self.smtp_url is not None and not self.public_url,
        }
        missing = [name for name, is_missing in required.items() if is_missing]
        if missing:
            raise ValueError(f"{missing[0]}: missing; {_ACCOUNT_ADVICE[missing[0]]}")
        return self

    @property
    def missing_keys(self) -> tuple[str, ...]:
        """What the API lacks to sign tokens and to encrypt documents; job workers need neither.

        In local it generates them.
        """
        if self.auth == "off" or self.environment == "local":
            return ()
        needed = {
            "TOKEN_KEYS: missing; AUTH=keys needs it outside local": self.token_keys is None,
            "DOCUMENT_KEY: missing; USER_DOCUMENT needs it outside local": bool(self.user_document)
            and self.document_key is None,
        }
        return tuple(advice for advice, is_missing in needed.items() if is_missing)

    @property
    def needs_database(self) -> bool:
        """Whether the API uses the database: for jobs, or for accounts."""
        return self.jobs or self.auth == "keys"

    @property
    def taken_queues(self) -> tuple[str, ...]:
        """The queues that the job workers take; each has the name of its model."""
        return self.job_queues or self.models

    @property
    def log_json(self) -> bool:
        """Whether log lines are JSON."""
        if self.log_format == "auto":
            return self.environment != "local" or self.log_cloud != "none"
        return self.log_format == "json"

    def secret_values(self) -> list[str]:
        """Values that logs and error reports must mask, longest first.

        Secrets that are set, and within them each password of a URL and each header's value. A
        default is public.
        """
        fields = type(self).model_fields
        values = {name: getattr(self, name) for name in fields}
        found = {
            value.get_secret_value()
            for name, value in values.items()
            if isinstance(value, SecretStr) and value != fields[name].default
        }
        found |= {secret for _, secret in self.token_secrets}
        headers = self.otlp_headers.values()
        found |= {value for value in headers if len(value) >= MIN_SECRET_CHARACTERS}
        passwords = (urlsplit(url).password or "" for url in found)
        found |= {unquote(word) for word in passwords if len(word) >= MIN_SECRET_CHARACTERS}
        return sorted(found, key=len, reverse=True)
