"""API keys: created with scopes that their user has, and revoked."""

import time
from collections.abc import Callable, Sequence

from project.accounts.audit import audit
from project.accounts.authentication import Authenticator
from project.accounts.caller import ROLE_SCOPES
from project.accounts.credentials import digest, new_secret
from project.db.account_records import ApiKey, User
from project.db.records import Priority, new_id
from project.db.users import Users
from project.errors import AccountConflict, Forbidden, KeyNotFound

MAX_KEYS = 100  # of a user


class ApiKeys:
    """Creates and revokes keys. authenticator: None on the command line, which caches nothing."""

    def __init__(
        self,
        users: Users,
        authenticator: Authenticator | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._users = users
        self._authenticator = authenticator
        self._clock = clock

    async def create(
        self,
        user: User,
        name: str,
        scopes: Sequence[str],
        *,
        priority: Priority = "interactive",
        valid_seconds: float | None = None,
        actor: str | None = None,
    ) -> tuple[ApiKey, str]:
        """A key and its text, which nothing stores: it is shown once.

        valid_seconds: None for a key that does not expire. Raises Forbidden for scopes that the
        user lacks and for a disabled user, and AccountConflict where it has MAX_KEYS keys.
        """
        if not user.active:
            raise Forbidden("this user is disabled: a key would work once it is enabled again")
        if lacking := sorted(set(scopes) - ROLE_SCOPES[user.role]):
            raise Forbidden(f"a key of this user cannot have the scope {', '.join(lacking)}")
        now = self._clock()
        if await self._users.count_keys(user.id) >= MAX_KEYS:
            await self._users.delete_ended_keys(now, user.id)
            if await self._users.count_keys(user.id) >= MAX_KEYS:
                raise AccountConflict(f"there are {MAX_KEYS} keys; revoke some that are not used")
        key_id = new_id(now)
        text = new_secret(key_id)
        key = ApiKey(
            id=key_id,
            user_id=user.id,
            name=name,
            digest=digest(text),
            scopes=sorted(set(scopes)),
            priority=priority,
            created_at=now,
            expires_at=None if valid_seconds is None else now + valid_seconds,
            revoked_at=None,
            last_used_at=None,
        )
        await self._users.add_key(key)
        audit(
            "key_created",
            actor=actor or user.id,
            subject=user.id,
            key_id=key_id,
            scopes=key.scopes,
            priority=priority,
        )
        return key, text

    async def revoke(self, key_id: str, user_id: str, actor: str | None = None) -> None:
        """Revoke a key of a user; it fails everywhere within seconds. Raises KeyNotFound."""
        if not await self._users.revoke_key(key_id, user_id, self._clock()):
            raise KeyNotFound(
                "there is no such key, or it is revoked; list your keys for their ids"
            )
        if self._authenticator is not None:
            self._authenticator.forget(user_id)
        audit("key_revoked", actor=actor or user_id, subject=user_id, key_id=key_id)
