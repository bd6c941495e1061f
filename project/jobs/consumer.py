"""Fetches messages for a worker: one for the process at a time, from each queue in its turn.

Dramatiq has a thread for each queue, and each would fetch by itself: a process that is busy with
one job would hold a message of every queue, though another process is idle.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from dramatiq import Consumer, Message, Middleware
from dramatiq.broker import MessageProxy
from dramatiq.brokers.redis import MAINTENANCE_SCALE, RedisBroker
from dramatiq.common import compute_backoff, q_name
from dramatiq.errors import ConnectionClosed
from redis import ConnectionError as RedisConnectionError

from project.jobs.queue import RESPONSE_SECONDS, connect, keys_of
from project.settings import Settings

HEARTBEAT_SECONDS = 10.0  # the consumers of delayed messages send a heartbeat each second
DELAYED_POLL_MILLISECONDS = 1000  # between two fetches of delayed messages, at most
MAINTENANCE_SECONDS = 1.0  # between two fetches of an empty queue


class MessageFetcher:
    """Fetches for all queues of one process, which has one thread to run jobs.

    The consumer that holds `_free` fetches for all of them, and holds it until the message is
    done: a message that is fetched is one that runs. Of several queues with messages, that one is
    next from which none was fetched for the longest time.
    """

    def __init__(self, broker: RedisBroker, clock: Callable[[], float] = time.monotonic) -> None:
        self._broker = broker
        self._clock = clock
        self._queues: dict[str, int] = {}  # queue → when it was served last; 0: never
        self._served = 0  # messages
        self._free = threading.Lock()
        self._message_id: str | None = None  # of the message that is not done
        self._misses = 0
        self._maintenance_at = -1.0

    def add(self, queue: str) -> None:
        """Fetch from this queue too."""
        self._queues.setdefault(queue, 0)

    def fetch(self, timeout_milliseconds: int) -> Message[None] | None:
        """The next message; None where there is none, or one is not done, after the time-out.

        Raises redis.ConnectionError.
        """
        if not self._free.acquire(timeout=timeout_milliseconds / 1000):
            return None
        message = None
        try:
            message = self._next()
            if message is None:  # `_free` is held meanwhile: one poll for all the queues
                self._misses, pause = compute_backoff(
                    self._misses, max_backoff=timeout_milliseconds
                )
                time.sleep(pause / 1000)
        finally:
            if message is None:
                self._free.release()
        return message

    def done(self, message_id: str) -> None:
        """Allow the next fetch, once this message was acknowledged or rejected."""
        if message_id == self._message_id:
            self._message_id = None
            self._free.release()

    def _next(self) -> Message[None] | None:
        if not self._may_have_messages():
            return None
        for queue in sorted(self._queues, key=self._queues.__getitem__):
            for data in self._broker.do_fetch(queue, 1):
                if data is None:  # its message was purged
                    continue
                message = Message.decode(data)
                self._served += 1
                self._queues[queue] = self._served
                self._misses, self._message_id = 0, message.message_id
                return message
        return None

    def _may_have_messages(self) -> bool:
        """Whether a queue has messages, by one cheap command.

        Once a second every queue is fetched from: Dramatiq's fetch also returns the messages of
        dead processes to their queue.
        """
        now = self._clock()
        if now >= self._maintenance_at:
            self._maintenance_at = now + MAINTENANCE_SECONDS
            return True
        return bool(self._broker.client.exists(*(keys_of(queue).ready for queue in self._queues)))


class QueueConsumer(Consumer):
    """The consumer of a queue, as Dramatiq wants one for each; it may fetch from all of them."""

    def __init__(
        self, broker: RedisBroker, fetcher: MessageFetcher, timeout_milliseconds: int
    ) -> None:
        self._broker = broker
        self._fetcher = fetcher
        self._timeout_milliseconds = timeout_milliseconds

    def __next__(self) -> MessageProxy | None:
        """The next message; None where there is none now. Raises ConnectionClosed."""
        with _translating():
            message = self._fetcher.fetch(self._timeout_milliseconds)
        return MessageProxy(message) if message else None

    def ack(self, message: MessageProxy) -> None:
        """Acknowledge a message. Raises ConnectionClosed."""
        self._finish(self._broker.do_ack, message)

    def nack(self, message: MessageProxy) -> None:
        """Reject a message. Raises ConnectionClosed."""
        self._finish(self._broker.do_nack, message)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Return messages to the ends of their queues. Raises ConnectionClosed."""
        for message in messages:
            with _translating():
                self._broker.do_requeue(message.queue_name, message.options["redis_message_id"])

    def _finish(self, command: Callable[[str, str], None], message: MessageProxy) -> None:
        try:
            with _translating():
                command(message.queue_name, message.options["redis_message_id"])
        except ConnectionClosed:  # Dramatiq repeats the call until the broker answers
            raise
        except Exception:
            self._fetcher.done(message.message_id)
            raise
        self._fetcher.done(message.message_id)


@contextmanager
def _translating() -> Iterator[None]:
    """Raise ConnectionClosed for what the client raises: Dramatiq then connects again."""
    try:
        yield
    except RedisConnectionError as error:
        raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]


class WorkerBroker(RedisBroker):
    """The broker of a process that runs jobs, one at a time."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._fetcher = MessageFetcher(self)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Consumer:
        """A consumer of a queue, or of the delayed messages of one, which Dramatiq keeps apart."""
        if queue_name != q_name(queue_name):
            return super().consume(queue_name, prefetch, max(timeout, DELAYED_POLL_MILLISECONDS))
        self._fetcher.add(queue_name)
        return QueueConsumer(self, self._fetcher, timeout)


def make_broker(
    settings: Settings,
    middleware: list[Middleware],
    *,
    response_seconds: float = RESPONSE_SECONDS,
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
) -> WorkerBroker:
    """The broker of a process that runs jobs.

    Every fetch returns the messages of dead processes to the queue, once their heartbeat is
    older than heartbeat_seconds; by default Dramatiq does so in one of a thousand commands.
    """
    return WorkerBroker(
        client=connect(settings, response_seconds=response_seconds),
        middleware=middleware,
        heartbeat_timeout=round(heartbeat_seconds * 1000),
        maintenance_chance=MAINTENANCE_SCALE,
    )
