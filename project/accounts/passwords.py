"""Passwords: hashed by Argon2id in threads, a few at a time, because each hash takes 64 MiB.

An unknown user costs what a wrong password costs: a dummy hash is verified in its place.
"""

from collections.abc import Callable
from typing import TypeVar

import anyio
from anyio import to_thread
from pwdlib import PasswordHash

from project.errors import Overloaded

MIN_PASSWORD = 12  # characters
MAX_PASSWORD = 200
CONCURRENT_HASHES = 2  # in each worker: 128 MiB
MAX_WAITING = 32  # sign-ins; the next would wait for two seconds and more
RETRY_AFTER = 2

T = TypeVar("T")


class Passwords:
    """Hashes and verifies passwords. hasher: by default Argon2id with 64 MiB and 3 passes."""

    def __init__(self, hasher: PasswordHash | None = None) -> None:
        self._hasher = hasher or PasswordHash.recommended()
        self._limiter = anyio.CapacityLimiter(CONCURRENT_HASHES)
        self._dummy = ""
        self._hashes = 0  # that run or wait

    async def prepare(self) -> None:
        """Make the dummy hash; call it before the first request."""
        self._dummy = await self.hash("the hash of this is verified where there is no user")

    async def hash(self, password: str) -> str:
        """Hash a password. Raises Overloaded where too many wait."""
        return await self._run(self._hasher.hash, password)

    async def verify(self, password: str, stored: str | None) -> tuple[bool, str | None]:
        """Whether the password is right, and a new hash where the stored one is out of date.

        stored: None where there is no user or it has no password; that takes as long.
        Raises Overloaded where too many wait.
        """
        right, renewed = await self._run(
            self._hasher.verify_and_update, password, stored or self._dummy
        )
        return (right, renewed) if stored else (False, None)

    async def _run(self, work: Callable[..., T], *arguments: str) -> T:
        if self._hashes >= CONCURRENT_HASHES + MAX_WAITING:
            raise Overloaded("too many sign in at once; try again soon", retry_after=RETRY_AFTER)
        self._hashes += 1
        try:
            return await to_thread.run_sync(work, *arguments, limiter=self._limiter)
        finally:
            self._hashes -= 1
