"""Results by content: the same bytes with the same parameters need not be predicted twice.

Kept in each worker's memory, or in a Redis that all workers and machines share. What cannot be
kept or found is predicted; a cache never fails a request.
"""

import hashlib
import os
import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from pathlib import Path
from typing import Any

from loguru import logger
from pydantic import BaseModel, ValidationError
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from project.errors import CacheUnavailable
from project.models.base import Model, Params
from project.observability import metrics
from project.settings import Settings

PREFIX = "vitrine:result:"
REST_SECONDS = 5.0  # for which a Redis that failed is left alone
ENTRY_BYTES = 400  # of Python's, for each key and value in memory


class Store(ABC):
    """Keeps bytes by key for a while."""

    @abstractmethod
    async def get(self, key: str) -> bytes | None:
        """What was put, or None where it is no longer there."""

    @abstractmethod
    async def put(self, key: str, value: bytes, asked: int) -> None:
        """Keep a value that was asked for at that time, in nanoseconds since 1970."""

    @abstractmethod
    async def clear(self) -> None:
        """Forget all, in every worker. Raises CacheUnavailable where it cannot."""

    async def close(self) -> None:  # noqa: B027 - not every store has connections
        """Let go of connections."""


class MemoryStore(Store):
    """The values used last, up to so many bytes.

    cleared: a file that all workers of this machine look at; touched, it has each forget all.
    """

    def __init__(self, max_bytes: int, seconds: float, cleared: Path) -> None:
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._cleared = cleared
        self._cleared_at = self._last_cleared()
        self._bytes = 0
        self._values: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    async def get(self, key: str) -> bytes | None:
        """What was put, and that it was used."""
        self._forget_if_cleared()
        kept_until, value = self._values.get(key, (0.0, b""))
        if kept_until < time.monotonic():
            return None
        self._values.move_to_end(key)
        return value

    async def put(self, key: str, value: bytes, asked: int) -> None:
        """Keep a value, and drop those that were not used for the longest time."""
        self._forget_if_cleared()
        if asked <= self._cleared_at:
            return  # what was to be forgotten may have gone into it
        self._drop(key)
        self._values[key] = (time.monotonic() + self._seconds, value)
        self._bytes += len(value) + ENTRY_BYTES
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._values)))

    async def clear(self) -> None:
        """Have every worker forget."""
        try:
            self._cleared.parent.mkdir(parents=True, exist_ok=True)
            self._cleared.touch()
            now = time.time_ns()  # the kernel's own stamp may be some milliseconds old
            os.utime(self._cleared, ns=(now, now))
        except OSError as error:
            raise CacheUnavailable(
                "CACHE_DIR is not writable, so workers cannot be told"
            ) from error

    def _drop(self, key: str) -> None:
        if dropped := self._values.pop(key, None):
            self._bytes -= len(dropped[1]) + ENTRY_BYTES

    def _forget_if_cleared(self) -> None:
        if self._cleared_at != (now := self._last_cleared()):
            self._values.clear()
            self._bytes, self._cleared_at = 0, now

    def _last_cleared(self) -> int:
        try:
            return self._cleared.stat().st_mtime_ns
        except OSError:  # never yet, or not from here
            return 0


class RedisStore(Store):
    """A Redis or Valkey that all workers share; how much it keeps is its own `maxmemory`.

    seconds: how long a value is kept. answer_seconds: what takes longer counts as not there.
    """

    def __init__(self, url: str, seconds: float, answer_seconds: float) -> None:
        self._seconds = max(1, round(seconds))
        self._rest_until = 0.0
        self._redis: Redis = Redis.from_url(
            url,
            socket_timeout=answer_seconds,
            socket_connect_timeout=answer_seconds,
            retry=Retry(NoBackoff(), 0),
        )

    async def get(self, key: str) -> bytes | None:
        """What was put; None where Redis does not answer at once."""
        if time.monotonic() < self._rest_until:
            return None
        try:
            value = await self._redis.get(PREFIX + key)
        except (RedisError, OSError) as error:
            self._rest(error)
            return None
        return value if isinstance(value, bytes) else None

    async def put(self, key: str, value: bytes, asked: int) -> None:  # noqa: ARG002
        """Keep a value, if Redis takes it at once."""
        if time.monotonic() < self._rest_until:
            return
        try:
            await self._redis.set(PREFIX + key, value, ex=self._seconds)
        except (RedisError, OSError) as error:
            self._rest(error)

    async def clear(self) -> None:
        """Delete what is ours and nothing else."""
        try:
            keys = [key async for key in self._redis.scan_iter(f"{PREFIX}*", count=1000)]
            for first in range(0, len(keys), 1000):
                await self._redis.unlink(*keys[first : first + 1000])
        except (RedisError, OSError) as error:
            raise CacheUnavailable("Redis does not answer; try again") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    def _rest(self, error: Exception) -> None:
        self._rest_until = time.monotonic() + REST_SECONDS
        logger.bind(reason=type(error).__name__).warning("result_cache_not_answering")


class ResultCache:
    """Finds and keeps the results of models."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @staticmethod
    def key(model: Model[Any, Any], params: Params, data: bytes) -> str:
        """SHA-256 of all that a result depends on: model, version, parameters, content."""
        head = f"{model.name}\0{model.version}\0{params.model_dump_json()}\0"
        digest = hashlib.sha256(head.encode())
        digest.update(data)
        return digest.hexdigest()

    async def find(self, model: Model[Any, Any], key: str) -> BaseModel | None:
        """The result kept under a key; counts whether there is one."""
        value = await self.store.get(key)
        try:
            result = model.result.model_validate_json(value) if value is not None else None
        except ValidationError:  # of another release, whose version should have been another
            result = None
        metrics.INFERENCE_CACHE.labels(model.name, "miss" if result is None else "hit").inc()
        return result

    async def keep(self, key: str, result: BaseModel, asked: int) -> None:
        """Keep a result. asked: when, in nanoseconds since 1970."""
        await self.store.put(key, result.model_dump_json().encode(), asked)


def make_cache(settings: Settings) -> ResultCache | None:
    """The cache that the settings ask for, if any."""
    seconds = settings.result_cache_seconds
    if settings.result_cache == "memory":
        cleared = settings.cache_dir / "results-cleared"
        return ResultCache(MemoryStore(settings.result_cache_bytes, seconds, cleared))
    if settings.result_cache == "redis" and settings.redis_url:
        url, patience = settings.redis_url.get_secret_value(), settings.redis_timeout_seconds
        return ResultCache(RedisStore(url, seconds, patience))
    return None
