"""Sign-in by an OpenID Connect provider: its access tokens are accepted as those of this server.

A user belongs to a subject of the issuer, never to an e-mail: an e-mail at the provider does not
open the account that has it here.
"""

import hashlib
import time
from collections.abc import Callable
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import InvalidClaimError, JoseError, UnsupportedAlgorithmError
from joserfc.jwt import JWTClaimsRegistry

from project.accounts import fields
from project.accounts.audit import audit
from project.accounts.oidc_keys import ProviderKeys
from project.accounts.refusal import refused
from project.accounts.tokens import LEEWAY_SECONDS, Claims, refusing_invalid
from project.db.account_records import User
from project.db.records import new_id
from project.db.users import Users
from project.errors import AccountConflict, Forbidden
from project.observability.metrics import AUTH_REFUSALS
from project.settings import Settings

ALGORITHMS = frozenset(
    {"RS256", "ES256", "EdDSA", "Ed25519"}
)  # whatever the provider's metadata say
TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})  # of `typ`, if there is one
MAX_SUBJECT = 255  # ASCII characters (OpenID Connect Core, section 2)


class OidcProvider:
    """Reads the tokens of one provider, and finds or creates their users.

    settings: those of OIDC, with an issuer. clock: seconds since 1970.
    """

    def __init__(
        self,
        settings: Settings,
        users: Users,
        keys: ProviderKeys,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._issuer = settings.oidc_issuer or ""
        self._users = users
        self._keys = keys
        self._clock = clock
        self._registry = _Registry(strict_check_header=False)  # providers add headers of their own
        self._claims = JWTClaimsRegistry(
            now=lambda: int(clock()),
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": settings.oidc_audience or ""},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
        )

    def handles(self, token: str) -> bool:
        """Whether a token is signed as a provider's; those of this server are not."""
        try:
            return jws.extract_compact(token.encode()).protected["alg"] in ALGORITHMS
        except (JoseError, ValueError, TypeError):
            return False

    async def authenticate(self, token: str) -> tuple[User, Claims]:
        """The user of a token that `handles` accepts, created if need be, and the token's times.

        Raises Unauthorized, ProviderUnavailable and DatabaseUnavailable; Forbidden for a user that
        has deleted itself.
        """
        claims = await self._read(token)
        subject = claims["sub"]
        user = await self._users.find_subject(self._issuer, subject)
        if user is None:
            user = await self._create(subject, claims)
        elif user.is_deleted:
            user = await self._restored(user, claims)
        return user, Claims(user.id, float(claims["iat"]), float(claims["exp"]))

    async def aclose(self) -> None:
        """Close the connections to the provider."""
        await self._keys.aclose()

    async def _read(self, token: str) -> dict[str, Any]:
        """The claims of a valid token."""
        with refusing_invalid():
            found = await self._decode(token)
            if str(found.header.get("typ", "JWT")).lower() not in TYPES:
                raise refused("invalid", "this is no access token; ask the provider for one")
            self._claims.validate(found.claims)
            subject = found.claims["sub"]
            if not (subject.isascii() and subject.isprintable() and len(subject) <= MAX_SUBJECT):
                raise InvalidClaimError("sub")
        return found.claims

    async def _decode(self, token: str) -> jwt.Token:
        """A token whose signature is right; without a key's id, the keys may be old ones."""
        key_id = jws.extract_compact(token.encode()).protected.get("kid")
        key_id = key_id if isinstance(key_id, str) else None
        keys = await self._keys.get(key_id)
        try:
            return jwt.decode(token, keys, registry=self._registry)
        except (JoseError, ValueError):
            if key_id is not None or not await self._keys.reload():
                raise
        return jwt.decode(token, await self._keys.get(None), registry=self._registry)

    async def _create(self, subject: str, claims: dict[str, Any]) -> User:
        """The user of a subject that is not known yet; two requests at once have the same one."""
        if not self._settings.creates_oidc_users:
            raise refused("unknown", "this user has no account here: ask an administrator for one")
        now = self._clock()
        username = _username(self._issuer, subject)
        user = User(
            id=new_id(now),
            email=self._email(claims),
            username=username,
            full_name=self._full_name(claims) or username,
            password_hash=None,
            role="user",
            active=True,
            document=None,
            monthly_quota=None,
            issuer=self._issuer,
            subject=subject,
            signed_out_at=None,
            created_at=now,
        )
        try:
            await self._users.add(user)
        except AccountConflict:
            found = await self._users.find_subject(self._issuer, subject)
            if found is None:
                raise refused(
                    "unknown",
                    "the e-mail of this user is another account's: ask an administrator to link it",
                ) from None
            return found
        audit("user_created", actor=user.id, subject=user.id, role=user.role)
        return user

    async def _restored(self, user: User, claims: dict[str, Any]) -> User:
        """A user that was deleted, with its name again if an operator has enabled it."""
        if not user.active:
            AUTH_REFUSALS.labels("inactive").inc()
            raise Forbidden(
                f"this account was deleted by its user; an operator can restore it: {user.id}"
            )
        username = _username(self._issuer, str(user.subject))
        values = {"username": username, "full_name": self._full_name(claims) or username}
        changed = await self._users.change(user.id, email=self._email(claims), **values)
        return changed or user

    def _email(self, claims: dict[str, Any]) -> str:
        name = self._settings.oidc_email_claim
        is_verified = claims.get("email_verified") is not False  # many providers leave it out
        try:
            return fields.email(str(claims.get(name, "")) if is_verified else "")
        except ValueError:
            raise refused(
                "unknown", f"the token has no verified e-mail as its claim {name}; add the claim"
            ) from None

    def _full_name(self, claims: dict[str, Any]) -> str:
        """The name that the provider has; empty where it has none that can be shown."""
        text = claims.get(self._settings.oidc_name_claim)
        name = " ".join(text.split())[: fields.MAX_NAME] if isinstance(text, str) else ""
        return name if name.isprintable() else ""


def _username(issuer: str, subject: str) -> str:
    name = hashlib.sha256(f"{issuer}\0{subject}".encode()).hexdigest()
    return f"oidc-{name[:16]}"


class _Registry(jws.JWSRegistry):
    """The algorithms of tokens. The library's own warns at each EdDSA, which providers send."""

    def get_alg(self, name: str) -> Any:
        """The algorithm of this name. Raises UnsupportedAlgorithmError."""
        if name not in ALGORITHMS:
            raise UnsupportedAlgorithmError(f"the algorithm {name} is not accepted")
        return self.algorithms[name]
