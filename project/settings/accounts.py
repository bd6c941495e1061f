"""Account settings: who may use the API, how they sign in, and how much they may use."""

import re
from importlib import import_module
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode

MIN_KEY_BYTES = 32
MAX_QUOTA = 2**31 - 1  # what a column of integers of PostgreSQL holds
_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_RATE = re.compile(r"([1-9][0-9]{0,8})/(second|minute|hour|day)")
_PERIODS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


Items = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class AccountSettings(BaseSettings):
    """Accounts: sign-in, tokens, registration, quotas and rates; with AUTH=off none is used."""

    auth: Literal["off", "keys"] = Field(
        "off", description="keys: requests need an API key or a token; off: anyone may do all."
    )
    token_keys: SecretStr | None = Field(
        None,
        description="Keys that sign tokens, newest first: id:secret,id:secret, 32 bytes at least.",
    )
    token_encryption: bool = Field(
        default=False, description="Encrypt tokens too (JWE), so that clients cannot read them."
    )
    access_token_seconds: int = Field(
        900, ge=30, description="An access token is valid for this long."
    )
    refresh_token_seconds: int = Field(
        2_592_000, ge=60, description="A refresh token is valid for this long; each works once."
    )
    registration: Literal["open", "invitation", "closed"] = Field(
        "closed", description="Who may register: anyone, who is invited, or no one."
    )
    admin_email: str | None = Field(
        None, description="E-mail of the first administrator, created at start where none exists."
    )
    admin_password: SecretStr | None = Field(
        None, min_length=12, description="Password of the first administrator; 12 characters."
    )
    user_document: Items = Field(
        (),
        description="National documents of users, such as br.cpf,br.cnpj (names of python-stdnum).",
    )
    document_key: SecretStr | None = Field(
        None,
        min_length=MIN_KEY_BYTES,
        description="Key that encrypts documents; 32 characters at least; it is never changed.",
    )
    smtp_url: SecretStr | None = Field(
        None,
        description="Mail server for links to reset a password: smtp://, smtps://; unset: none.",
    )
    mail_from: str | None = Field(None, description="Sender of these mails.")
    public_url: str | None = Field(
        None, description="Address of this server in mails, such as https://vitrine.example.org."
    )
    oidc_issuer: str | None = Field(
        None, description="OpenID Connect provider whose tokens are accepted; unset: none."
    )
    oidc_audience: str | None = Field(None, description="Audience of these tokens.")
    oidc_registration: Literal["open", "closed"] | None = Field(
        None,
        description="open: a first token creates its user; unset: where REGISTRATION=open.",
    )
    oidc_email_claim: str = Field("email", description="Claim that has a new user's e-mail.")
    oidc_name_claim: str = Field("name", description="Claim that has a new user's full name.")
    monthly_quota: int = Field(
        10,
        ge=0,
        le=MAX_QUOTA,
        description="Predictions of a user in a month, unless an administrator raises it.",
    )
    caller_rate: str = Field(
        "600/minute",
        description="Predictions, jobs and streams that one user begins: per second, minute, …",
    )
    address_rate: str = Field(
        "60/minute",
        description="Sign-ins and registrations of one address; failed requests of it; renewals of "
        "one session.",
    )
    limits_fail: Literal["open", "closed"] = Field(
        "open", description="Whether requests pass while the store of the rates does not answer."
    )
    user_jobs: int = Field(
        20,
        ge=1,
        description="Jobs of one user in the broker at a time; the others wait their turn.",
    )

    @field_validator("token_keys")
    @classmethod
    def _check_token_keys(cls, value: SecretStr | None) -> SecretStr | None:
        keys = _token_keys(value)
        wrong = [
            number
            for number, (key_id, secret) in enumerate(keys, 1)
            if not _KEY_ID.fullmatch(key_id) or len(secret.encode()) < MIN_KEY_BYTES
        ]
        if wrong or (value is not None and not keys):
            raise ValueError(
                f"write it as id:secret,id:secret with {MIN_KEY_BYTES} bytes or more in each "
                "secret, such as those of `openssl rand -hex 32`"
            )
        if len({key_id for key_id, _ in keys}) < len(keys):
            raise ValueError("give each key an id of its own")
        return value

    @field_validator("user_document")
    @classmethod
    def _check_user_document(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            try:
                import_module(f"stdnum.{name}").validate  # noqa: B018 - it has to exist
            except (ImportError, AttributeError):
                raise ValueError(
                    f"{name} is no document that python-stdnum knows; write it as br.cpf"
                ) from None
        return value

    @field_validator("smtp_url")
    @classmethod
    def _check_smtp_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.match(r"smtps?://[^/]", value.get_secret_value()):
            raise ValueError("write it as smtp://user:password@host:587 or smtps://…")
        return value

    @field_validator("public_url", "oidc_issuer")
    @classmethod
    def _check_url(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"https?://[^/]", value):
            raise ValueError("write it as https://host")
        return value

    @field_validator("caller_rate", "address_rate")
    @classmethod
    def _check_rate(cls, value: str) -> str:
        parse_rate(value)
        return value

    @property
    def token_secrets(self) -> tuple[tuple[str, str], ...]:
        """The keys that sign tokens, each with its id; the newest first."""
        return _token_keys(self.token_keys)

    @property
    def creates_oidc_users(self) -> bool:
        """Whether a user of the OpenID Connect provider is created at its first token."""
        return (self.oidc_registration or self.registration) == "open"


def parse_rate(text: str) -> tuple[int, int]:
    """A rate as number and seconds: 600/minute is (600, 60). Raises ValueError."""
    found = _RATE.fullmatch(text)
    if found is None:
        raise ValueError(f"write it as 600/minute; periods are {', '.join(_PERIODS)}")
    return int(found[1]), _PERIODS[found[2]]


def _token_keys(value: SecretStr | None) -> tuple[tuple[str, str], ...]:
    parts = value.get_secret_value().split(",") if value else []
    pairs = (part.strip().partition(":") for part in parts if part.strip())
    return tuple((key_id, secret) for key_id, _, secret in pairs)
