"""The queues of jobs in Redis: sends messages, moves them to the front, reads what waits.

Each model has a queue of its own, under its name. A message holds a job's id and what the log
needs; the row in the database is the job. Dramatiq owns the keys. The state is read with plain
commands: Dramatiq's own `do_qsize` counts a message twice and registers its caller as a worker.
"""

import asyncio
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Self, cast

from dramatiq import Message
from dramatiq.brokers.redis import RedisBroker
from redis import ConnectionError as RedisConnectionError
from redis import Redis, RedisError
from redis import TimeoutError as RedisTimeoutError
from redis.backoff import NoBackoff
from redis.retry import Retry

from project.db.records import Job
from project.errors import BrokerUnavailable
from project.observability import metrics
from project.settings import Settings

ACTOR = "run_job"

CONNECT_SECONDS = 2.0
RESPONSE_SECONDS = 5.0
CHUNK = 1000  # messages that one command reads

# KEYS: a queue's ready and messages. ARGV: the message's id; the message, or '' to move one.
_PUT_FIRST = """
if ARGV[2] ~= '' then
    redis.call('hset', KEYS[2], ARGV[1], ARGV[2])
elseif redis.call('lrem', KEYS[1], -1, ARGV[1]) == 0 then
    return 0
end
redis.call('lpush', KEYS[1], ARGV[1])
return 1
"""


class BrokerClient(Redis):
    """A Redis client that reports a time-out as a lost connection.

    Dramatiq reconnects after a lost connection. It does not handle a time-out: the thread that
    fetches delayed messages would end, and finished messages would not be acknowledged.
    """

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run a command. Raises redis.ConnectionError, for a time-out too."""
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except RedisTimeoutError as error:
            raise RedisConnectionError(str(error)) from error


def connect(settings: Settings, *, response_seconds: float = RESPONSE_SECONDS) -> Redis:
    """A client of the broker; it connects at its first command, and retries none."""
    return BrokerClient.from_url(
        settings.broker_url,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=response_seconds,
        retry=Retry(NoBackoff(), 0),
    )


class Keys(NamedTuple):
    """Dramatiq's keys of a queue.

    ready: list of the ids of the messages that wait, the next one first. messages: hash of id →
    message, of those that wait and those that run. delayed: hash of id → message, of those that
    wait for their time. dead: sorted set of the ids of rejected messages.
    """

    ready: str
    messages: str
    delayed: str
    dead: str


def keys_of(queue: str) -> Keys:
    """The keys of a queue. queue: the name of its model."""
    ready = f"dramatiq:{queue}"
    return Keys(ready, f"{ready}.msgs", f"{ready}.DQ.msgs", f"{ready}.XQ")


@dataclass(frozen=True)
class QueueState:
    """Messages by state, and the age of the oldest ready one in seconds; 0 for an empty queue."""

    ready: int
    running: int
    delayed: int
    dead: int
    oldest_age_seconds: float


class QueueReader:
    """Reads the queues. Every method blocks, and raises BrokerUnavailable."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    def states(self, queues: Sequence[str]) -> dict[str, QueueState]:
        """Queue → the number of its messages by state, now."""
        with _translating():
            pipeline = self._client.pipeline()
            for keys in map(keys_of, queues):
                pipeline.llen(keys.ready)
                pipeline.hlen(keys.messages)
                pipeline.hlen(keys.delayed)
                pipeline.zcard(keys.dead)
                pipeline.lindex(keys.ready, 0)
            found = pipeline.execute()
            rows = [found[first : first + 5] for first in range(0, len(found), 5)]
            return {
                queue: QueueState(ready, messages - ready, delayed, dead, self._age(queue, first))
                for queue, (ready, messages, delayed, dead, first) in zip(queues, rows, strict=True)
            }

    def _age(self, queue: str, message_id: bytes | None) -> float:
        if message_id is None:
            return 0.0
        message = cast("bytes | None", self._client.hget(keys_of(queue).messages, message_id))
        return max(0.0, time.time() - _enqueued_at(message)) if message else 0.0

    def waiting_jobs(self, queues: Iterable[str]) -> dict[str, str]:
        """Job id → message id, of every message of these queues that no worker has fetched."""
        with _translating():
            return {
                json.loads(data)["args"][0]: message_id
                for queue in queues
                for message_id, data in self._ready_messages(keys_of(queue))
            }

    def _ready_messages(self, keys: Keys) -> Iterator[tuple[str, bytes]]:
        ids = cast("list[bytes]", self._client.lrange(keys.ready, 0, -1))
        for first in range(0, len(ids), CHUNK):
            chunk = ids[first : first + CHUNK]
            found = cast("list[Any]", self._client.hmget(keys.messages, chunk))
            for message_id, data in zip(chunk, found, strict=True):
                if data:  # a worker may have finished it meanwhile
                    yield message_id.decode(), data


class JobQueue:
    """Sends jobs to the queues of their models and reads those, off the event loop.

    Every coroutine raises BrokerUnavailable where the broker does not answer.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._reader = QueueReader(client)
        self._broker = RedisBroker(  # type: ignore[no-untyped-call]
            client=client,
            middleware=[],
            maintenance_chance=0,  # the workers' brokers do it
        )
        self._put_first = client.register_script(_PUT_FIRST)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The queues at the broker that the settings name."""
        return cls(connect(settings))

    async def send(self, job: Job, delay_seconds: float = 0) -> None:
        """Send a job to the end of its queue, after a delay."""
        message = _message(job, time.time() + delay_seconds)
        delay = round(delay_seconds * 1000) or None
        with _translating():
            await asyncio.to_thread(self._broker.enqueue, message, delay=delay)
        metrics.JOBS_ENQUEUED.labels(job.model).inc()

    async def send_first(self, job: Job) -> None:
        """Send a job to the front of its queue, because a worker had fetched it before."""
        message = _message(job, time.time())
        message = message.copy(options={"redis_message_id": message.message_id})
        await self._run_put_first(job, message.message_id, message.encode())
        metrics.JOBS_ENQUEUED.labels(job.model).inc()

    async def move_first(self, job: Job, message_id: str) -> None:
        """Move a job's message to the front; no effect on one that a worker has fetched."""
        await self._run_put_first(job, message_id, b"")

    async def states(self, queues: Sequence[str]) -> dict[str, QueueState]:
        """See QueueReader.states."""
        return await asyncio.to_thread(self._reader.states, queues)

    async def waiting_jobs(self, queues: Iterable[str]) -> dict[str, str]:
        """See QueueReader.waiting_jobs."""
        return await asyncio.to_thread(self._reader.waiting_jobs, queues)

    async def check(self) -> None:
        """Ask whether the broker answers."""
        with _translating():
            await asyncio.to_thread(self._client.ping)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    async def _run_put_first(self, job: Job, message_id: str, message: bytes) -> None:
        keys = keys_of(job.model)
        with _translating():
            await asyncio.to_thread(
                self._put_first, [keys.ready, keys.messages], [message_id, message]
            )


def _message(job: Job, enqueued_at: float) -> Message[None]:
    context = {"request_id": job.request_id, "traceparent": job.traceparent}
    return Message(
        queue_name=job.model,
        actor_name=ACTOR,
        args=(job.id,),
        kwargs={},
        options={"enqueued_at": enqueued_at, **context},
    )


def _enqueued_at(message: bytes) -> float:
    """When a message became ready, or is to become so; seconds since 1970."""
    return float(json.loads(message)["options"]["enqueued_at"])


@contextmanager
def _translating() -> Iterator[None]:
    """Raise BrokerUnavailable for what the client raises where the broker does not answer."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise BrokerUnavailable("the broker does not answer") from error
