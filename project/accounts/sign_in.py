"""Signing in, by password or by refresh token, and signing out everywhere.

A refresh token works once and brings its successor. One that comes a second time is in two hands,
so every token that followed from the same sign-in is revoked.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from loguru import logger

from project.accounts.audit import audit
from project.accounts.authentication import Authenticator
from project.accounts.credentials import digest, new_secret
from project.accounts.passwords import Passwords
from project.accounts.refusal import refused
from project.accounts.tokens import AccessTokens
from project.db.records import new_id
from project.db.users import RefreshToken, User, Users
from project.observability.metrics import AUTH_ATTEMPTS


@dataclass(frozen=True)
class TokenPair:
    """An access token with its lifetime in seconds, and the refresh token that renews it."""

    access_token: str
    expires_in: int
    refresh_token: str


class SignIn:
    """Signs users in and out. refresh_seconds: how long a refresh token is valid."""

    def __init__(
        self,
        users: Users,
        passwords: Passwords,
        tokens: AccessTokens,
        authenticator: Authenticator,
        *,
        refresh_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._users = users
        self._passwords = passwords
        self._tokens = tokens
        self._authenticator = authenticator
        self._refresh_seconds = refresh_seconds
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

    async def by_refresh(self, token: str) -> TokenPair:
        """New tokens for a refresh token, which does not work again. Raises Unauthorized."""
        now, hashed = self._clock(), digest(token)
        known = await self._users.get_refresh(hashed)
        user = await self._users.get(known.user_id) if known else None
        used = await self._users.use_refresh(hashed, now)
        pair = await self._issue(user, used.family) if user and used else None
        if pair is None:
            AUTH_ATTEMPTS.labels("refresh", "refused").inc()
            if used is None:
                reason = await self._why_refused(hashed, now)
            else:
                reason = "revoked" if user and user.active else "inactive"
            raise refused(reason, "the refresh token is not valid any more; sign in again")
        AUTH_ATTEMPTS.labels("refresh", "ok").inc()
        return pair

    async def out(self, user_id: str) -> None:
        """Make every token of a user void, in all its browsers and programs; keys stay."""
        await self._users.sign_out(user_id, self._clock())
        self._authenticator.forget(user_id)
        audit("sign_out", actor=user_id, subject=user_id)

    async def _why_refused(self, hashed: str, now: float) -> str:
        """The reason for the metric; a token that was used before revokes its family."""
        known = await self._users.get_refresh(hashed)
        if known is None:
            return "unknown"
        if known.used_at is not None:
            await self._users.revoke_family(known.family, now)
            logger.bind(user_id=known.user_id).warning("refresh_token_reused")
            return "reused"
        return "revoked" if known.revoked_at is not None else "expired"

    async def _issue(self, user: User, family: str) -> TokenPair | None:
        """New tokens; None where the user was signed out or disabled while it signed in.

        user: as it was before its password or token was checked. The access token is issued first,
        so that a later sign-out makes it void.
        """
        now, refresh_token = self._clock(), new_secret("refresh")
        access_token = self._tokens.issue(user.id)
        token = RefreshToken(
            id=new_id(now),
            family=family,
            user_id=user.id,
            digest=digest(refresh_token),
            created_at=now,
            expires_at=now + self._refresh_seconds,
        )
        if not await self._users.add_refresh(token, user):
            return None
        return TokenPair(access_token, int(self._tokens.seconds), refresh_token)
