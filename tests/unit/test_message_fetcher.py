"""One fetcher for all queues of a process: which message is next, and how the broker is polled."""

from collections import Counter
from typing import Any

import pytest
from dramatiq import Message
from redis import ConnectionError as RedisConnectionError

from project.jobs.consumer import MAINTENANCE_SECONDS, MessageFetcher

AT_ONCE = 1  # millisecond


class FakeBroker:
    """Queues in memory. commands: those that were sent; down: whether the next one fails."""

    def __init__(self, **queues: list[str | None]) -> None:
        self.queues = queues
        self.commands: Counter[str] = Counter()
        self.down = False
        self.client = self

    def exists(self, *keys: str) -> int:
        self._send("exists")
        return sum(bool(self.queues[key.removeprefix("dramatiq:")]) for key in keys)

    def do_fetch(self, queue: str, count: int) -> list[bytes | None]:
        self._send("fetch")
        fetched = [self.queues[queue].pop(0) for _ in self.queues[queue][:count]]
        return [
            name and Message(queue, "run", (), {}, {}, message_id=name).encode() for name in fetched
        ]

    def _send(self, command: str) -> None:
        self.commands[command] += 1
        if self.down:
            raise RedisConnectionError


def fetcher_of(broker: FakeBroker, now: list[float] | None = None) -> MessageFetcher:
    """A fetcher of all its queues. now: the time."""
    given: Any = broker
    fetcher = MessageFetcher(given, clock=lambda: (now or [0.0])[0])
    for queue in broker.queues:
        fetcher.add(queue)
    return fetcher


def drained(fetcher: MessageFetcher) -> list[str]:
    """The ids of all messages in the order in which they are fetched."""
    ids = []
    while message := fetcher.fetch(AT_ONCE):
        ids.append(message.message_id)
        fetcher.done(message.message_id)
    return ids


def test_each_queue_with_messages_has_its_turn():
    """However long another is, and however long this one was empty."""
    broker = FakeBroker(long=["a1", "a2", "a3", "a4"], short=["b1"], empty=[])
    assert drained(fetcher_of(broker)) == ["a1", "b1", "a2", "a3", "a4"]
    broker = FakeBroker(long=["a1", "a2", "a3"], late=[])
    fetcher = fetcher_of(broker)
    for expected in ("a1", "a2"):
        message = fetcher.fetch(AT_ONCE)
        assert message
        assert message.message_id == expected
        fetcher.done(expected)
    broker.queues["late"].append("b1")
    assert drained(fetcher) == ["b1", "a3"]


def test_nothing_is_fetched_until_the_last_message_is_done():
    """Another message's end does not count, nor does its own twice."""
    broker = FakeBroker(one=["a1", "a2", "a3"])
    fetcher = fetcher_of(broker)
    assert fetcher.fetch(AT_ONCE)
    sent = broker.commands.total()
    fetcher.done("other")
    assert fetcher.fetch(AT_ONCE) is None
    assert broker.commands.total() == sent
    fetcher.done("a1")
    fetcher.done("a1")
    assert fetcher.fetch(AT_ONCE)
    assert fetcher.fetch(AT_ONCE) is None


def test_empty_queues_cost_one_command_however_many_there_are():
    """And a fetch of each once a second, which returns the messages of dead processes."""
    now = [0.0]
    broker = FakeBroker(one=[], two=[], three=[])
    fetcher = fetcher_of(broker, now)
    assert fetcher.fetch(AT_ONCE) is None
    assert broker.commands == {"fetch": 3}
    for _ in range(5):
        assert fetcher.fetch(AT_ONCE) is None
    assert broker.commands == {"fetch": 3, "exists": 5}
    now[0] += MAINTENANCE_SECONDS
    assert fetcher.fetch(AT_ONCE) is None
    assert broker.commands["fetch"] == 6


def test_a_purged_message_is_passed_over():
    """Its id was in the queue, and the message is gone."""
    assert drained(fetcher_of(FakeBroker(one=[None], two=["b1"]))) == ["b1"]


def test_after_a_broker_that_was_away_it_fetches_again():
    """The consumer connects again, and any of them may fetch."""
    broker = FakeBroker(one=["a1"])
    fetcher = fetcher_of(broker)
    broker.down = True
    for _ in range(2):
        with pytest.raises(RedisConnectionError):
            fetcher.fetch(AT_ONCE)
    broker.down = False
    assert drained(fetcher) == ["a1"]
