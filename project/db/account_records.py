"""The records of accounts, as immutable values: users, API keys, refresh and one-time tokens.

Times are in seconds since 1970. Of secrets the records have digests alone.
"""

from dataclasses import dataclass

from project.db.records import Priority
from project.db.tables import Purpose, Role


@dataclass(frozen=True)
class User:
    """A user.

    email, username: lower case. password_hash: None of a user of an OpenID Connect provider, whose
    issuer and subject are set. document: encrypted; document_digest: keyed, so that one document
    has one user. monthly_quota: None for the setting's.
    signed_out_at: access tokens that were issued before it are void.
    """

    id: str
    email: str
    username: str
    full_name: str
    password_hash: str | None
    role: Role
    active: bool
    document: str | None
    monthly_quota: int | None
    issuer: str | None
    subject: str | None
    signed_out_at: float | None
    created_at: float
    document_digest: str | None = None

    @property
    def is_deleted(self) -> bool:
        """Whether the user has deleted itself."""
        return self.email == tombstone(self.id)


def tombstone(user_id: str) -> str:
    """The e-mail and the username of a user that is deleted: unique, and no one can register it."""
    return f"deleted-{user_id}"


@dataclass(frozen=True)
class ApiKey:
    """An API key. digest: of the whole key. last_used_at: to within half a minute."""

    id: str
    user_id: str
    name: str
    digest: str
    scopes: list[str]
    priority: Priority
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    last_used_at: float | None


@dataclass(frozen=True)
class RefreshToken:
    """A refresh token. family: the tokens that followed from one sign-in."""

    id: str
    family: str
    user_id: str
    digest: str
    created_at: float
    expires_at: float
    used_at: float | None = None
    revoked_at: float | None = None


@dataclass(frozen=True)
class OneTimeToken:
    """An invitation of an e-mail, or of anyone; or a permission to set a user's password.

    email: who is invited, or where the permission was sent.
    """

    id: str
    purpose: Purpose
    user_id: str | None
    email: str | None
    digest: str
    expires_at: float
    used_at: float | None = None
