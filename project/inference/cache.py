"""The result cache: the same inputs with the same parameters are predicted once.

Results are in each worker's memory, or in a Redis that all workers and machines share. A result
that cannot be stored or found is predicted; a cache never fails a request.
"""

import hashlib
import math
import os
import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from loguru import logger
from pydantic import BaseModel, ValidationError
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from project.errors import CacheUnavailable
from project.inference.pipeline import Raw
from project.models.base import AnyModel, Params
from project.observability import metrics
from project.settings import Settings

PREFIX = "vitrine:result:"
BACKOFF_SECONDS = 5.0  # for which a Redis that failed is not asked
ENTRY_OVERHEAD_BYTES = 400  # of Python's, for each key and value in memory


class Store(ABC):
    """Stores bytes by key, for a limited time."""

    @abstractmethod
    async def get(self, key: str) -> bytes | None:
        """The value of a key, or None where it has none any more."""

    @abstractmethod
    async def put(self, key: str, value: bytes, requested_ns: int) -> None:
        """Store a value. requested_ns: when it was requested, nanoseconds since 1970."""

    @abstractmethod
    async def clear(self) -> None:
        """Delete all values, in every worker. Raises CacheUnavailable where it cannot."""

    async def close(self) -> None:  # noqa: B027 - not every store has connections
        """Close connections."""


class MemoryStore(Store):
    """The most recently used values, up to so many bytes in all.

    ttl_seconds: how long a value is valid. clear_marker: a file that all workers of this machine
    watch; when it is touched, each of them drops its values. clock: seconds, monotonic.
    """

    def __init__(
        self,
        max_bytes: int,
        ttl_seconds: float,
        clear_marker: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.size_bytes = 0
        self._max_bytes = max_bytes
        self._ttl_seconds = ttl_seconds
        self._clear_marker = clear_marker
        self._clock = clock
        self._cleared_ns = self._marked_ns()
        self._values: OrderedDict[str, tuple[float, bytes]] = OrderedDict()  # key → expiry, value

    async def get(self, key: str) -> bytes | None:
        """The value of a key, which is the most recently used one now."""
        self._drop_all_if_cleared()
        expires_at, value = self._values.get(key, (-math.inf, b""))
        if expires_at < self._clock():
            return None
        self._values.move_to_end(key)
        return value

    async def put(self, key: str, value: bytes, requested_ns: int) -> None:
        """Store a value, and drop the least recently used ones beyond the bound."""
        self._drop_all_if_cleared()
        if requested_ns <= self._cleared_ns:
            return  # it may come from what the clearing was meant to delete
        self._drop(key)
        self._values[key] = (self._clock() + self._ttl_seconds, value)
        self.size_bytes += len(value) + ENTRY_OVERHEAD_BYTES
        while self.size_bytes > self._max_bytes:
            self._drop(next(iter(self._values)))

    async def clear(self) -> None:
        """Have every worker drop its values."""
        try:
            self._clear_marker.parent.mkdir(parents=True, exist_ok=True)
            self._clear_marker.touch()
            now = time.time_ns()  # the kernel's own stamp may be some milliseconds old
            os.utime(self._clear_marker, ns=(now, now))
        except OSError as error:
            raise CacheUnavailable(
                "CACHE_DIR is not writable, so workers cannot be told"
            ) from error

    def _drop(self, key: str) -> None:
        if dropped := self._values.pop(key, None):
            self.size_bytes -= len(dropped[1]) + ENTRY_OVERHEAD_BYTES

    def _drop_all_if_cleared(self) -> None:
        if self._cleared_ns != (marked_ns := self._marked_ns()):
            self._values.clear()
            self.size_bytes, self._cleared_ns = 0, marked_ns

    def _marked_ns(self) -> int:
        """When the cache was last cleared, nanoseconds since 1970."""
        try:
            return self._clear_marker.stat().st_mtime_ns
        except OSError:  # never, or not readable from here
            return 0


class RedisStore(Store):
    """A Redis or Valkey that all workers share; its own `maxmemory` bounds it.

    ttl_seconds: how long a value is valid. timeout_seconds: an answer that takes longer counts as
    a miss. After an error it is not asked for backoff_seconds. clock: seconds, monotonic.
    """

    def __init__(
        self,
        url: str,
        ttl_seconds: float,
        timeout_seconds: float,
        *,
        backoff_seconds: float = BACKOFF_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ttl_seconds = max(1, round(ttl_seconds))
        self._backoff_seconds = backoff_seconds
        self._clock = clock
        self._backoff_until = -math.inf
        self._redis: Redis = Redis.from_url(
            url,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
        )

    async def get(self, key: str) -> bytes | None:
        """The value of a key; None where Redis does not answer in time."""
        if self._clock() < self._backoff_until:
            return None
        try:
            value = await self._redis.get(PREFIX + key)
        except (RedisError, OSError) as error:
            self._back_off(error)
            return None
        return value if isinstance(value, bytes) else None

    async def put(self, key: str, value: bytes, requested_ns: int) -> None:  # noqa: ARG002
        """Store a value, if Redis takes it in time."""
        if self._clock() < self._backoff_until:
            return
        try:
            await self._redis.set(PREFIX + key, value, ex=self._ttl_seconds)
        except (RedisError, OSError) as error:
            self._back_off(error)

    async def clear(self) -> None:
        """Delete the keys with our prefix and no others."""
        try:
            keys = [key async for key in self._redis.scan_iter(f"{PREFIX}*", count=1000)]
            for first in range(0, len(keys), 1000):
                await self._redis.unlink(*keys[first : first + 1000])
        except (RedisError, OSError) as error:
            raise CacheUnavailable("Redis does not answer; try again") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    def _back_off(self, error: Exception) -> None:
        self._backoff_until = self._clock() + self._backoff_seconds
        logger.bind(reason=type(error).__name__).warning("result_cache_not_answering")


class ResultCache:
    """Finds and stores the results of models."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @staticmethod
    def key(model: AnyModel, params: Params, raw: Raw) -> str:
        """SHA-256 of all that a result depends on: model, version, parameters, inputs."""
        head = f"{model.name}\0{model.version}\0{params.model_dump_json()}\0"
        digest = hashlib.sha256(head.encode())
        for name, data in sorted(raw.items()):
            content = data if isinstance(data, bytes) else data.encode()
            digest.update(f"{name}\0{len(content)}\0".encode())
            digest.update(content)
        return digest.hexdigest()

    async def find(self, model: AnyModel, key: str) -> BaseModel | None:
        """The result of a key, or None; counts a hit or a miss."""
        value = await self.store.get(key)
        try:
            result = model.result.model_validate_json(value) if value is not None else None
        except ValidationError:  # of another release that did not change the model's version
            result = None
        metrics.INFERENCE_CACHE.labels(model.name, "miss" if result is None else "hit").inc()
        return result

    async def put(self, key: str, result: BaseModel, requested_ns: int) -> None:
        """Store a result. requested_ns: see Store.put."""
        await self.store.put(key, result.model_dump_json().encode(), requested_ns)


def make_cache(settings: Settings) -> ResultCache | None:
    """The cache that the settings name, if any."""
    ttl_seconds = settings.result_cache_seconds
    if settings.result_cache == "memory":
        clear_marker = settings.cache_dir / "results-cleared"
        return ResultCache(MemoryStore(settings.result_cache_bytes, ttl_seconds, clear_marker))
    if settings.result_cache == "redis" and settings.redis_url:
        url, timeout = settings.redis_url.get_secret_value(), settings.redis_timeout_seconds
        return ResultCache(RedisStore(url, ttl_seconds, timeout))
    return None
