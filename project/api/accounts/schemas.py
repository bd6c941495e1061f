"""Request and response models of accounts. Responses never hold a hash, a document or a secret."""

from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
)
from pydantic.functional_validators import BeforeValidator

from project.accounts import fields
from project.accounts.caller import Scope
from project.accounts.passwords import MAX_PASSWORD, MIN_PASSWORD
from project.accounts.quota import MonthUsage
from project.accounts.registration import Profile
from project.accounts.sign_in import TokenPair
from project.api.jobs.schemas import rfc3339
from project.db.account_records import ApiKey, User
from project.db.records import Priority
from project.db.tables import Role
from project.settings.accounts import MAX_QUOTA

MAX_SECRET = 200  # characters of a token that works once, and of a refresh token
MAX_DOCUMENT = 40
MAX_KEY_DAYS = 3650


def _encodable(value: object) -> object:
    """Refuse half a surrogate pair, which neither a database nor a digest can take."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("send text; a half of a surrogate pair is none") from None
    return value


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("send text without control characters")
    return text


def _no_number(value: object) -> object:
    """Refuse what Pydantic would make a number of: false would be a quota of 0."""
    if isinstance(value, bool | str):
        raise ValueError("send a number")  # noqa: TRY004 - Pydantic reports ValueErrors
    return value


Number = Annotated[int, BeforeValidator(_no_number)]
Email = Annotated[
    str,
    BeforeValidator(_encodable),
    StringConstraints(max_length=fields.MAX_EMAIL),
    AfterValidator(fields.email),
    Field(json_schema_extra={"format": "email"}, examples=["ann@example.org"]),
]
Username = Annotated[
    str,
    BeforeValidator(_encodable),
    AfterValidator(fields.username),
    Field(
        json_schema_extra={"pattern": f"^{fields.USERNAME_PATTERN}$"},
        examples=["ann"],
    ),
]
FullName = Annotated[
    str,
    BeforeValidator(_encodable),
    StringConstraints(max_length=fields.MAX_NAME),
    AfterValidator(fields.full_name),
    Field(examples=["Ann Example"]),
]
NewPassword = Annotated[
    str,
    BeforeValidator(_encodable),
    AfterValidator(fields.password),
    Field(
        json_schema_extra={
            "format": "password",
            "writeOnly": True,
            "minLength": MIN_PASSWORD,
            "maxLength": MAX_PASSWORD,
        }
    ),
]
Password = Annotated[
    str,
    BeforeValidator(_encodable),
    StringConstraints(max_length=MAX_PASSWORD),
    Field(json_schema_extra={"format": "password", "writeOnly": True}),
]
Document = Annotated[str, BeforeValidator(_encodable), StringConstraints(max_length=MAX_DOCUMENT)]
Secret = Annotated[
    str, BeforeValidator(_encodable), StringConstraints(min_length=1, max_length=MAX_SECRET)
]


class Body(BaseModel):
    """The base of request bodies: a field that is not known is a mistake."""

    model_config = ConfigDict(extra="forbid")


class NewUser(Body):
    """Who registers."""

    email: Email
    username: Username
    full_name: FullName
    password: NewPassword
    document: Document | None = Field(None, description="The number of one of USER_DOCUMENT.")
    invitation: Secret | None = Field(None, description="With REGISTRATION=invitation.")

    def profile(self) -> Profile:
        """What the user is created from."""
        return Profile(self.email, self.username, self.full_name, self.password, self.document)


class UserView(BaseModel):
    """A user, as it sees itself and as administrators see it."""

    id: str
    email: str
    username: str
    full_name: str
    role: Role
    active: bool
    monthly_quota: int = Field(description="Predictions a month.")
    created_at: str

    @classmethod
    def of(cls, user: User, default_quota: int) -> Self:
        """The view of a user's row."""
        quota = default_quota if user.monthly_quota is None else user.monthly_quota
        return cls(
            id=user.id,
            email=user.email,
            username=user.username,
            full_name=user.full_name,
            role=user.role,
            active=user.active,
            monthly_quota=quota,
            created_at=rfc3339(user.created_at),
        )


class MonthView(BaseModel):
    """What a user has used of this month."""

    month_used: int = Field(description="Predictions made in this month.")
    month_left: int = Field(description="Predictions that may still begin in it.")
    month_ends_at: str = Field(description="When the next month begins.")

    @classmethod
    def of_month(cls, month: MonthUsage, **values: object) -> Self:
        """The view of a month. values: of the other fields."""
        used = {"month_used": month.used, "month_left": month.left}
        return cls(**values, **used, month_ends_at=rfc3339(month.resets_at))


class OwnView(MonthView, UserView):
    """A user that is signed in, as it sees itself."""


class KeyOwnView(MonthView):
    """What an API key sees of its user: nothing personal, as a key is handed to programs."""

    id: str = Field(description="Of the user.")
    scopes: list[Scope] = Field(description="What the key may do.")
    monthly_quota: int = Field(description="Predictions a month.")


class UserPage(BaseModel):
    """Some users, the newest first."""

    users: list[UserView]
    next: str | None = Field(description="Path of the next page, if there is one.")


class ProfileChange(Body):
    """What a user may change of itself; what is left out stays."""

    email: Email | None = None
    username: Username | None = None
    full_name: FullName | None = None
    password: Password | None = Field(
        None, description="The current one; needed for another e-mail, which could reset it."
    )


class UserChange(Body):
    """What an administrator may change of another user; what is left out stays."""

    active: StrictBool | None = None
    role: Role | None = None
    monthly_quota: Number | None = Field(
        None, ge=0, le=MAX_QUOTA, description="null sets it back to MONTHLY_QUOTA."
    )


class Deletion(Body):
    """The confirmation of a user that deletes itself."""

    password: Password | None = Field(
        None, description="The current one, unless the user signs in by OpenID Connect alone."
    )


class PasswordChange(Body):
    """A new password; it signs the user out everywhere."""

    current: Password
    new: NewPassword


class ResetRequest(Body):
    """Who has forgotten its password."""

    email: Email


class PasswordReset(Body):
    """A new password, by the token of a link."""

    token: Secret
    password: NewPassword
    revoke_keys: StrictBool = Field(
        default=True, description="Also the API keys, which a thief of the password may have made."
    )


class Tokens(BaseModel):
    """What a sign-in brings (RFC 6749, section 5.1)."""

    access_token: str = Field(description="Send it as `Authorization: Bearer`.")
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the name of a scheme
    expires_in: int = Field(description="Seconds for which the access token is valid.")
    refresh_token: str = Field(description="Works once, for POST /v1/tokens/refresh.")

    @classmethod
    def of(cls, pair: TokenPair) -> Self:
        """The response of a pair of tokens."""
        return cls(
            access_token=pair.access_token,
            expires_in=pair.expires_in,
            refresh_token=pair.refresh_token,
        )


class Refresh(Body):
    """The refresh token of the last sign-in or renewal."""

    refresh_token: Secret


class SignOut(Body):
    """Which session ends."""

    refresh_token: Secret | None = Field(None, description="null: all sessions end.")


class NewKey(Body):
    """A key to be created."""

    name: Annotated[
        str,
        BeforeValidator(_encodable),
        StringConstraints(min_length=1, max_length=100),
        AfterValidator(_printable),
    ] = Field(description="What it is for.")
    scopes: list[Scope] = Field(["predict"], max_length=10, description="What it may do.")
    priority: Priority = Field(
        "interactive", description="batch: shed first where the server is busy."
    )
    expires_in_days: Number | None = Field(
        90, ge=1, le=MAX_KEY_DAYS, description="null: it does not expire."
    )
    password: Password | None = Field(
        None,
        description="The current one; a user who has none sends a token of the last 5 minutes.",
    )


class KeyView(BaseModel):
    """An API key without its secret."""

    id: str
    name: str
    scopes: list[Scope]
    priority: Priority
    created_at: str
    expires_at: str | None
    last_used_at: str | None = Field(description="To within half a minute.")

    @classmethod
    def of(cls, key: ApiKey) -> Self:
        """The view of a key's row."""
        return cls(**_key_values(key))


class CreatedKey(KeyView):
    """A new API key with its secret, which is shown this once."""

    key: str = Field(description="Send it as `Authorization: Bearer`; it is not shown again.")

    @classmethod
    def with_secret(cls, key: ApiKey, text: str) -> Self:
        """The view of a new key."""
        return cls(**_key_values(key), key=text)


class Keys(BaseModel):
    """The keys of a user that are not revoked, the newest first."""

    keys: list[KeyView]


class NewInvitation(Body):
    """Who is invited."""

    email: Email | None = Field(None, description="null: anyone who has the invitation.")


class Invitation(BaseModel):
    """An invitation, which is shown this once; it works once, within a week."""

    invitation: str


def _key_values(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": key.scopes,
        "priority": key.priority,
        "created_at": rfc3339(key.created_at),
        "expires_at": None if key.expires_at is None else rfc3339(key.expires_at),
        "last_used_at": None if key.last_used_at is None else rfc3339(key.last_used_at),
    }
