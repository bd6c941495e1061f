"""The queue of jobs in Redis: sends messages, moves them to the front, reads what waits.

A message holds a job's id and what the log needs; the row in the database is the job. Dramatiq owns
the keys. The state is read with plain commands: Dramatiq's own `do_qsize` counts a message twice
and registers its caller as a worker.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self, cast

from dramatiq import Message, Middleware
from dramatiq.brokers.redis import MAINTENANCE_SCALE, RedisBroker
from redis import ConnectionError as RedisConnectionError
from redis import Redis, RedisError
from redis import TimeoutError as RedisTimeoutError
from redis.backoff import NoBackoff
from redis.retry import Retry

from project.db.records import Job
from project.errors import BrokerUnavailable
from project.observability import metrics
from project.settings import Settings

QUEUE, ACTOR = "jobs", "run_job"

# Dramatiq's keys for this queue.
READY = f"dramatiq:{QUEUE}"  # list: ids of the messages that wait, the next one first
MESSAGES = f"{READY}.msgs"  # hash: id → message, of those that wait and those that run
DELAYED = f"{READY}.DQ.msgs"  # hash: id → message, of those that wait for their time
DEAD = f"{READY}.XQ"  # sorted set: ids of rejected messages

CONNECT_SECONDS = 2.0
RESPONSE_SECONDS = 5.0
HEARTBEAT_SECONDS = 10.0  # a worker's consumers send a heartbeat each second
CHUNK = 1000  # messages that one command reads

# KEYS: READY, MESSAGES. ARGV: the message's id; the message, or '' to move one that waits.
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


def make_broker(
    settings: Settings,
    middleware: list[Middleware],
    *,
    response_seconds: float = RESPONSE_SECONDS,
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
) -> RedisBroker:
    """The broker of a process that runs jobs.

    Every command returns the messages of dead processes to the queue, once their heartbeat is
    older than heartbeat_seconds; by default Dramatiq does so in one of a thousand commands.
    """
    return RedisBroker(  # type: ignore[no-untyped-call]
        client=connect(settings, response_seconds=response_seconds),
        middleware=middleware,
        heartbeat_timeout=round(heartbeat_seconds * 1000),
        maintenance_chance=MAINTENANCE_SCALE,
    )


@dataclass(frozen=True)
class QueueState:
    """Messages by state, and the age of the oldest ready one in seconds; 0 for an empty queue."""

    ready: int
    running: int
    delayed: int
    dead: int
    oldest_age_seconds: float


class QueueReader:
    """Reads the queue. Every method blocks, and raises BrokerUnavailable."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    def state(self) -> QueueState:
        """The number of messages by state, now."""
        with _translating():
            pipeline = self._client.pipeline()
            pipeline.llen(READY)
            pipeline.hlen(MESSAGES)
            pipeline.hlen(DELAYED)
            pipeline.zcard(DEAD)
            pipeline.lindex(READY, 0)
            ready, messages, delayed, dead, first = pipeline.execute()
            oldest = cast("bytes | None", self._client.hget(MESSAGES, first)) if first else None
        age = time.time() - _enqueued_at(oldest) if oldest else 0.0
        return QueueState(ready, messages - ready, delayed, dead, max(0.0, age))

    def waiting_jobs(self) -> dict[str, str]:
        """Job id → message id, of every message that no worker has fetched."""
        with _translating():
            return {json.loads(data)["args"][0]: key for key, data in self._ready_messages()}

    def _ready_messages(self) -> Iterator[tuple[str, bytes]]:
        keys = cast("list[bytes]", self._client.lrange(READY, 0, -1))
        for first in range(0, len(keys), CHUNK):
            chunk = keys[first : first + CHUNK]
            found = cast("list[Any]", self._client.hmget(MESSAGES, chunk))
            for key, data in zip(chunk, found, strict=True):
                if data:  # a worker may have finished it meanwhile
                    yield key.decode(), data


class JobQueue:
    """Sends jobs to the workers and reads their queue, off the event loop.

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
        self._broker.declare_queue(QUEUE)
        self._put_first = client.register_script(_PUT_FIRST)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The queue at the broker that the settings name."""
        return cls(connect(settings))

    async def send(self, job: Job, delay_seconds: float = 0) -> None:
        """Send a job to the end of the queue, after a delay."""
        message = _message(job, time.time() + delay_seconds)
        delay = round(delay_seconds * 1000) or None
        with _translating():
            await asyncio.to_thread(self._broker.enqueue, message, delay=delay)
        metrics.JOBS_ENQUEUED.labels(job.model).inc()

    async def send_first(self, job: Job) -> None:
        """Send a job to the front of the queue, because a worker had fetched it before."""
        message = _message(job, time.time())
        message = message.copy(options={"redis_message_id": message.message_id})
        await self._run_put_first(message.message_id, message.encode())
        metrics.JOBS_ENQUEUED.labels(job.model).inc()

    async def move_first(self, message_id: str) -> None:
        """Move a message that waits to the front; no effect on one that a worker has fetched."""
        await self._run_put_first(message_id, b"")

    async def state(self) -> QueueState:
        """See QueueReader.state."""
        return await asyncio.to_thread(self._reader.state)

    async def waiting_jobs(self) -> dict[str, str]:
        """See QueueReader.waiting_jobs."""
        return await asyncio.to_thread(self._reader.waiting_jobs)

    async def check(self) -> None:
        """Ask whether the broker answers."""
        with _translating():
            await asyncio.to_thread(self._client.ping)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    async def _run_put_first(self, message_id: str, message: bytes) -> None:
        with _translating():
            await asyncio.to_thread(self._put_first, [READY, MESSAGES], [message_id, message])


def _message(job: Job, enqueued_at: float) -> Message[None]:
    context = {"request_id": job.request_id, "traceparent": job.traceparent}
    return Message(
        queue_name=QUEUE,
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
