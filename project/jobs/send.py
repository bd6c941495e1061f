"""Sends jobs to the workers.

A message holds a job's id, and no more than the log needs: the row in the database is the job.
"""

import asyncio
import time
from typing import Any

from dramatiq import Message, Middleware
from dramatiq.brokers.redis import MAINTENANCE_SCALE, RedisBroker
from dramatiq.errors import BrokerConnectionError
from redis import ConnectionError as RedisConnectionError
from redis import Redis, RedisError
from redis import TimeoutError as RedisTimeoutError
from redis.backoff import NoBackoff
from redis.retry import Retry

from project.db.job_transitions import Job
from project.errors import BrokerUnavailable
from project.observability import metrics
from project.settings import Settings

QUEUE, ACTOR = "jobs", "run_job"
READY = f"dramatiq:{QUEUE}"  # Dramatiq's list of the messages that wait
CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 5.0
HEARTBEAT_SECONDS = 10.0  # a worker's consumers give a sign each second


class Client(Redis):
    """A client to which a broker that is silent is one that is gone.

    Dramatiq waits for a connection that broke and tries again. Of a time-out it knows nothing: the
    thread that fetches delayed messages would end for good, and what was done not be acknowledged.
    """

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Ask. Raises redis.ConnectionError, for a time-out too."""
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except RedisTimeoutError as error:
            raise RedisConnectionError(str(error)) from error


def connect(settings: Settings) -> Redis:
    """A client of the broker; it connects at its first use, and tries no command twice."""
    return Client.from_url(
        settings.broker_url,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


def make_broker(
    settings: Settings, middleware: list[Middleware], maintenance: int = MAINTENANCE_SCALE
) -> RedisBroker:
    """The broker. What a dead process had in hand is given to others after HEARTBEAT_SECONDS.

    maintenance: in how many of a million commands this is looked after; left to Dramatiq's chance
    it takes minutes.
    """
    return RedisBroker(  # type: ignore[no-untyped-call]
        client=connect(settings),
        middleware=middleware,
        heartbeat_timeout=round(HEARTBEAT_SECONDS * 1000),
        maintenance_chance=maintenance,
    )


def put_first(client: Redis, number: str) -> None:
    """Have a message that waits be the next; number: its id in Redis.

    Where this is cut short between the two commands, a sweep finds that the message is lost.
    """
    if client.lrem(READY, -1, number):
        client.lpush(READY, number)


class Sender:
    """Puts jobs into the queue."""

    def __init__(self, broker: RedisBroker) -> None:
        self._broker = broker
        broker.declare_queue(QUEUE)

    @classmethod
    def of(cls, settings: Settings) -> "Sender":
        """One for a process that runs no jobs itself."""
        return cls(make_broker(settings, [], maintenance=0))  # that is for workers to do

    async def send(self, job: Job, delay_seconds: float = 0, *, first: bool = False) -> None:
        """Have a job run, after a while. Raises BrokerUnavailable.

        first: before all others that wait, as its turn had come already.
        """
        context = {"request_id": job.request_id, "traceparent": job.traceparent}
        message: Message[None] = Message(
            queue_name=QUEUE,
            actor_name=ACTOR,
            args=(job.id,),
            kwargs={},
            options={"enqueued_at": time.time() + delay_seconds, **context},
        )
        delay = round(delay_seconds * 1000) or None
        try:
            sent = await asyncio.to_thread(self._broker.enqueue, message, delay=delay)
            if first:
                number = sent.options["redis_message_id"]
                await asyncio.to_thread(put_first, self._broker.client, number)
        except (BrokerConnectionError, RedisError, OSError) as error:
            raise BrokerUnavailable("jobs cannot be sent now; try again in a while") from error
        metrics.JOBS_ENQUEUED.labels(job.model).inc()

    async def check(self) -> None:
        """Raise BrokerUnavailable unless the broker answers."""
        try:
            await asyncio.to_thread(self._broker.client.ping)
        except (RedisError, OSError) as error:
            raise BrokerUnavailable("the broker does not answer") from error

    def close(self) -> None:
        """Close the connections."""
        self._broker.close()
