"""Signing in, by password or by refresh token, and signing out everywhere.

A refresh token works once and brings its successor. One that comes a second time is in two hands,
so every token that followed from the same sign-in is revoked; except for GRACE_SECONDS, while its
successor was not used: an answer may be lost, or a page loaded anew before it came.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from loguru import logger

from project.accounts.audit import audit
from project.accounts.authentication import Authenticator
from project.accounts.credentials import digest, new_secret
from project.accounts.passwords import Passwords
from project.accounts.refusal import refused
from project.accounts.tokens import AccessTokens
from project.db.account_records import RefreshToken, User
from project.db.records import new_id
from project.db.users import Users
from project.observability.metrics import AUTH_ATTEMPTS

GRACE_SECONDS = 10.0


@dataclass(frozen=True)
class TokenPair:
    """An access token with its lifetime in seconds, and the refresh token that renews it."""

    access_token: str
    expires_in: int
    refresh_token: str


class SignIn:
    """Signs users in and out.

    refresh_seconds: how long a refresh token is valid. grace_seconds: for which one that was used
    gets another successor.
    """

    def __init__(
        self,
        users: Users,
        passwords: Passwords,
        tokens: AccessTokens,
        authenticator: Authenticator,
        *,
        refresh_seconds: float,
        grace_seconds: float = GRACE_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._users = users
        self._passwords = passwords
        self._tokens = tokens
        self._authenticator = authenticator
        self._refresh_seconds = refresh_seconds
        self._grace_seconds = grace_seconds
        self._clock = clock

    async def by_password(self, login: str, password: str) -> TokenPair:
        """Tokens for an e-mail or username and its password.

        Raises Unauthorized, the same for an unknown user, a wrong password and a disabled user.
        """
        user = await self.verified(login, password)
        pair = await self._issue(user, new_id(self._clock())) if user else None
        if pair is None:
            AUTH_ATTEMPTS.labels("password", "refused").inc()
            raise refused("password", "the user or the password is wrong")
        AUTH_ATTEMPTS.labels("password", "ok").inc()
        return pair

    async def verified(self, login: str, password: str) -> User | None:
        """The active user with this login and password, if there is one; it always takes a hash."""
        user = await self._users.find(login.lower()) if login.isprintable() else None
        stored = user.password_hash if user else None
        right, renewed = await self._passwords.verify(password, stored)
        if user is None or stored is None or not right or not user.active:
            return None
        if renewed is not None:
            await self._users.replace_hash(user.id, stored, renewed)
        return user

    async def by_refresh(
        self, token: str, limit: Callable[[str], Awaitable[object]] | None = None
    ) -> TokenPair:
        """New tokens for a refresh token, which does not work again. Raises Unauthorized.

        limit: called with the family of a known token first; raises RateLimited.
        """
        hashed = digest(token)
        known = await self._users.get_refresh(hashed)
        if known is not None and limit is not None:
            await limit(known.family)
        user = await self._users.get(known.user_id) if known else None
        if known is not None and user is not None:
            pair, successor = self._new(user, known.family)
            if await self._users.renew_refresh(hashed, successor, user, self._grace_seconds):
                AUTH_ATTEMPTS.labels("refresh", "ok").inc()
                return pair
        AUTH_ATTEMPTS.labels("refresh", "refused").inc()
        reason = await self._why_refused(hashed, user)
        raise refused(reason, "the refresh token is not valid any more; sign in again")

    async def out(self, user_id: str) -> None:
        """Make every token of a user void, in all its browsers and programs; keys stay."""
        await self._users.sign_out(user_id, self._clock())
        self._authenticator.forget(user_id)
        audit("sign_out", actor=user_id, subject=user_id)

    async def out_of_session(self, user_id: str, token: str) -> None:
        """Make the refresh tokens that followed from one sign-in void, if it was the user's."""
        known = await self._users.get_refresh(digest(token))
        if known is not None and known.user_id == user_id:
            await self._users.revoke_family(known.family, self._clock())
            audit("session_sign_out", actor=user_id, subject=user_id)

    async def _why_refused(self, hashed: str, user: User | None) -> str:
        """The reason for the metric; a token that was used before revokes its family.

        user: of the token, as it was before.
        """
        now, known = self._clock(), await self._users.get_refresh(hashed)
        if known is None:
            return "unknown" if user is None else "revoked"
        if known.used_at is not None:
            await self._users.revoke_family(known.family, now)
            logger.bind(user_id=known.user_id).warning("refresh_token_reused")
            return "reused"
        if known.expires_at <= now and known.revoked_at is None:
            return "expired"
        return "revoked" if user is None or user.active else "inactive"

    async def _issue(self, user: User, family: str) -> TokenPair | None:
        """New tokens; None where the user was signed out or disabled while it signed in.

        user: as it was before its password was checked.
        """
        pair, token = self._new(user, family)
        return pair if await self._users.add_refresh(token, user) else None

    def _new(self, user: User, family: str) -> tuple[TokenPair, RefreshToken]:
        """New tokens, and the row of the refresh token, which is not added yet.

        The access token is issued before that, so that a later sign-out makes it void.
        """
        now, refresh_token = self._clock(), new_secret("refresh")
        pair = TokenPair(self._tokens.issue(user.id), int(self._tokens.seconds), refresh_token)
        token = RefreshToken(
            id=new_id(now),
            family=family,
            user_id=user.id,
            digest=digest(refresh_token),
            created_at=now,
            expires_at=now + self._refresh_seconds,
        )
        return pair, token
