"""Checks the environment that a manifest sets against the product's settings."""

from collections.abc import Mapping

import pytest

from project.settings import Settings

# Variables that libraries read: the storage's credentials, and what prestart.sh passes on.
LIBRARY_VARIABLES = {
    "AWS_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ALLOW_HTTP",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AZURE_STORAGE_ACCOUNT_NAME",
    "GOOGLE_APPLICATION_CREDENTIALS",
}
SECRETS = {  # example values of what manifests take from a secret store
    "DATABASE_URL": "postgresql+asyncpg://vitrine:password@db/vitrine",
    "REDIS_URL": "rediss://:password@broker:6379/0",
    "TOKEN_KEYS": f"2026-11:{'0123456789abcdef' * 4}",
    "ADMIN_EMAIL": "admin@example.org",
    "ADMIN_PASSWORD": "0123456789abcdef",
    "ADMIN_TOKEN": "0123456789abcdef",
    "DOCUMENT_KEY": "0123456789abcdef" * 4,
    "SMTP_URL": "smtps://user:password@mail.example.org:465",
    "MAIL_FROM": "vitrine@example.org",
    "PUBLIC_URL": "https://vitrine.example.org",
    "SENTRY_DSN": "https://key@sentry.example.com/1",
    "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%200123456789",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
}


def settings_of(environment: Mapping[str, str]) -> Settings:
    """Return the settings of a container that has this environment and nothing else.

    Fails where a name is no setting, as a mistyped one would be ignored, and where a value is
    refused.
    """
    known = {name.upper() for name in Settings.model_fields} | LIBRARY_VARIABLES
    assert set(environment) <= known, f"not settings: {sorted(set(environment) - known)}"
    with pytest.MonkeyPatch.context() as patch:
        for name in Settings.model_fields:
            patch.delenv(name.upper(), raising=False)
        for name, value in environment.items():
            patch.setenv(name, str(value))
        return Settings(_env_file=None)


def is_secret(name: str) -> bool:
    field = Settings.model_fields.get(name.lower())
    return field is not None and "SecretStr" in str(field.annotation)
