"""From an API key or an access token to its caller, without a query in the usual case.

A found caller is cached for CACHE_SECONDS in each process, so that a revocation, a new role or a
sign-out holds everywhere after that time at the latest. While the database does not answer, when
none of these can be read or written, it is served for OUTAGE_SECONDS since it was last found.
"""

import asyncio
import hmac
import math
import time
from collections.abc import Awaitable, Callable
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from loguru import logger

from project.accounts.caller import ROLE_SCOPES, Caller
from project.accounts.credentials import PREFIX, digest
from project.accounts.refusal import refused
from project.accounts.tokens import AccessTokens, Claims
from project.db.account_records import ApiKey, User
from project.db.records import is_id
from project.db.users import Users
from project.errors import DatabaseUnavailable, Unauthorized
from project.observability.metrics import AUTH_ATTEMPTS

if TYPE_CHECKING:  # only some have a provider, and its client costs memory
    from project.accounts.oidc import OidcProvider

CACHE_SECONDS = 5.0
OUTAGE_SECONDS = 60.0
MAX_CACHED = 10_000  # callers of one process
LAST_USE_SECONDS = 30.0  # between two writes of when keys were last used
CLEAN_SECONDS = 3600.0  # between two deletions of what has ended
ENDED_KEY_SECONDS = (
    7 * 86_400.0
)  # for which a key is refused as revoked or expired, then as unknown
MAX_TOKEN = 4096  # characters


class Cached(NamedTuple):
    """A caller. fresh_until, usable_until: with the database, and without; seconds since 1970."""

    fresh_until: float
    usable_until: float
    caller: Caller

    def is_valid(self, now: float, *, is_away: bool) -> bool:
        """Whether the caller may be served. is_away: whether the database does not answer."""
        return now < (self.usable_until if is_away else self.fresh_until)


class Authenticator:
    """Finds callers.

    default_quota: of users without one of their own. clock: seconds since 1970. provider: of OpenID
    Connect, if there is one.
    """

    def __init__(
        self,
        users: Users,
        tokens: AccessTokens,
        default_quota: int,
        *,
        cache_seconds: float = CACHE_SECONDS,
        clock: Callable[[], float] = time.time,
        provider: "OidcProvider | None" = None,
    ) -> None:
        self._users = users
        self.tokens = tokens
        self._provider = provider
        self._default_quota = default_quota
        self.cache_seconds = cache_seconds
        self._clock = clock
        self._cached: dict[bytes, Cached] = {}  # by the digest of a token
        self._away_until = 0.0  # for which the database, which did not answer, is not asked
        self._used_keys: set[str] = set()  # since the last write

    async def authenticate(self, token: str) -> Caller:
        """The caller of a token.

        Raises Unauthorized, DatabaseUnavailable and ProviderUnavailable.
        """
        hashed = sha256(token.encode()).digest()
        found = self._cached.get(hashed)
        now = self._clock()
        if found is not None and found.is_valid(now, is_away=now < self._away_until):
            return found.caller
        if len(token) > MAX_TOKEN:
            raise refused("malformed", "the token is too long; send an API key or an access token")
        if self._away_until:
            self._away_until = now + self.cache_seconds  # this request alone finds out, and waits
        try:
            until, caller = await self._find(token)
        except DatabaseUnavailable:
            self._away_until = self._clock() + self.cache_seconds
            found = self._cached.get(hashed)  # unless `forget` has dropped it meanwhile
            if found is None or not found.is_valid(self._clock(), is_away=True):
                raise
            return found.caller
        except BaseException:
            self._cached.pop(hashed, None)
            raise
        self._away_until = 0.0
        if len(self._cached) >= MAX_CACHED:
            self._cached.clear()
        now = self._clock()
        fresh_until, usable_until = now + self.cache_seconds, now + OUTAGE_SECONDS
        self._cached[hashed] = Cached(min(until, fresh_until), min(until, usable_until), caller)
        return caller

    def is_unknown_key(self, token: str) -> bool:
        """Whether a token is an API key that is not cached: to refuse it costs a query."""
        return token.startswith(PREFIX) and sha256(token.encode()).digest() not in self._cached

    def forget(self, user_id: str) -> None:
        """Drop what this process has cached of a user; other processes do within CACHE_SECONDS."""
        self._cached = {
            hashed: entry
            for hashed, entry in self._cached.items()
            if entry.caller.user_id != user_id
        }

    async def record_last_use(self) -> None:
        """Write when keys were last used, twice a minute, until cancelled.

        Once an hour it deletes the keys and refresh tokens that have ended.
        """
        cleaned_at = -math.inf
        while True:
            await asyncio.sleep(LAST_USE_SECONDS)
            await self.flush_last_use()
            if self._clock() - cleaned_at >= CLEAN_SECONDS:
                await self.delete_ended()
                cleaned_at = self._clock()

    async def delete_ended(self) -> None:
        """Delete keys some days after their end, and refresh tokens at it."""
        now = self._clock()
        try:
            await self._users.delete_ended_keys(now - ENDED_KEY_SECONDS)
            await self._users.delete_expired_refresh(now)
        except DatabaseUnavailable:  # logged where it was raised; the next time does it
            pass

    async def flush_last_use(self) -> None:
        """Write which keys were used since the last write; one statement for all."""
        used, self._used_keys = self._used_keys, set()
        if not used:
            return
        try:
            await self._users.touch_keys(used, self._clock())
        except DatabaseUnavailable:
            logger.bind(keys=len(used)).warning("key_use_not_recorded")

    async def _find(self, token: str) -> tuple[float, Caller]:
        """Until when the caller of a token may be cached at most, and the caller."""
        find: Callable[[str], Awaitable[tuple[float, Caller]]] = self._by_token
        method = None
        if token.startswith(PREFIX):
            find, method = self._by_key, "key"
        elif self._provider is not None and self._provider.handles(token):
            find, method = partial(self._by_provider, self._provider), "oidc"
        try:
            found = await find(token)
        except Unauthorized:
            if method:
                AUTH_ATTEMPTS.labels(method, "refused").inc()
            raise
        if method:
            AUTH_ATTEMPTS.labels(method, "ok").inc()
        return found

    async def _by_key(self, token: str) -> tuple[float, Caller]:
        key_id = token.removeprefix(PREFIX).partition("_")[0]
        found = await self._users.get_key(key_id) if is_id(key_id) else None
        if found is None or not hmac.compare_digest(found[0].digest, digest(token)):
            raise refused("unknown", "the API key is not valid; create another")
        key, user = found
        if key.revoked_at is not None:
            raise refused("revoked", "the API key is revoked; create another")
        if key.expires_at is not None and key.expires_at <= self._clock():
            raise refused("expired", "the API key has expired; create another")
        caller = self._caller(user, key)
        self._used_keys.add(key.id)
        return key.expires_at or float("inf"), caller

    async def _by_token(self, token: str) -> tuple[float, Caller]:
        claims = self.tokens.read(token)
        user = await self._users.get(claims.user_id)
        if user is None:
            raise refused("unknown", "the user of this token does not exist any more")
        return self._signed_in(user, claims)

    async def _by_provider(self, provider: "OidcProvider", token: str) -> tuple[float, Caller]:
        return self._signed_in(*await provider.authenticate(token))

    def _signed_in(self, user: User, claims: Claims) -> tuple[float, Caller]:
        if user.signed_out_at is not None and claims.issued_at <= user.signed_out_at:
            raise refused("revoked", "the user has signed out since; sign in again")
        return claims.expires_at, self._caller(user, issued_at=claims.issued_at)

    def _caller(
        self, user: User, key: ApiKey | None = None, issued_at: float | None = None
    ) -> Caller:
        """The caller that a user is, with a key or without. Raises Unauthorized if disabled."""
        if not user.active:
            raise refused("inactive", "this user is disabled; an administrator can enable it")
        scopes = ROLE_SCOPES[user.role]
        quota = self._default_quota if user.monthly_quota is None else user.monthly_quota
        if key is None:
            return Caller(user.id, user.role, scopes, quota, issued_at=issued_at)
        allowed = frozenset(scope for scope in scopes if scope in key.scopes)
        return Caller(user.id, user.role, allowed, quota, key.priority, key.id)
