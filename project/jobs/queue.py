"""What the broker says of the queue: how many messages, how old, and of which jobs.

With plain commands, at the names that Dramatiq gives its keys: its own `do_qsize` counts twice and
counts its caller as a worker.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from redis import Redis, RedisError

from project.errors import BrokerUnavailable
from project.jobs.send import READY, put_first

MESSAGES = f"{READY}.msgs"
DELAYED = f"{READY}.DQ.msgs"
DEAD = f"{READY}.XQ"
CHUNK = 1000


@dataclass(frozen=True)
class QueueState:
    """Messages by state, and since when the oldest ready one waits, in seconds; 0 for none."""

    ready: int
    running: int
    delayed: int
    dead: int
    oldest_age_seconds: float


class Queue:
    """Reads the queue. Every method raises BrokerUnavailable."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    def state(self) -> QueueState:
        """How full it is now."""
        try:
            pipeline = self._client.pipeline()
            pipeline.llen(READY)
            pipeline.hlen(MESSAGES)
            pipeline.hlen(DELAYED)
            pipeline.zcard(DEAD)
            pipeline.lindex(READY, 0)
            ready, messages, delayed, dead, first = pipeline.execute()
            oldest = cast("bytes | None", self._client.hget(MESSAGES, first)) if first else None
        except (RedisError, OSError) as error:
            raise BrokerUnavailable("the broker does not answer") from error
        age = time.time() - _sent_at(oldest) if oldest else 0.0
        return QueueState(ready, messages - ready, delayed, dead, max(0.0, age))

    def waiting_jobs(self) -> dict[str, str]:
        """The jobs that have a message which no worker has in hand: job → the message's number."""
        try:
            return {json.loads(data)["args"][0]: number for number, data in self._ready_messages()}
        except (RedisError, OSError) as error:
            raise BrokerUnavailable("the broker does not answer") from error

    def put_first(self, number: str) -> None:
        """Have the message of that number be the next."""
        try:
            put_first(self._client, number)
        except (RedisError, OSError) as error:
            raise BrokerUnavailable("the broker does not answer") from error

    def _ready_messages(self) -> Iterator[tuple[str, bytes]]:
        numbers = cast("list[bytes]", self._client.lrange(READY, 0, -1))
        for first in range(0, len(numbers), CHUNK):
            chunk = numbers[first : first + CHUNK]
            found = cast("list[Any]", self._client.hmget(MESSAGES, chunk))
            for number, data in zip(chunk, found, strict=True):
                if data:  # it may have been taken meanwhile
                    yield number.decode(), data


def _sent_at(message: bytes) -> float:
    """When a message was to be there, seconds since 1970."""
    return float(json.loads(message)["options"]["enqueued_at"])
