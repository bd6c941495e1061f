"""A scraper that never rests and misses nothing: failed scrapes, counters that ran backwards."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from drills.server import Metrics, Server
from drills.waiting import DEADLINE

MONOTONE = ("_total", "_count", "_sum", "_bucket")


@dataclass
class Seen:
    """What the scraper saw. lost: scrapes whose connection ended without an answer."""

    scrapes: int = 0
    lost: int = 0
    failed: list[str] = field(default_factory=list)
    backwards: list[str] = field(default_factory=list)
    most_files: float = 0
    most_slots: int = 0


@contextmanager
def scraping(server: Server) -> Iterator[Seen]:
    """Scrape without pause, over one kept-alive connection, while the context is open."""
    seen, over = Seen(), threading.Event()
    thread = threading.Thread(target=_scrape, args=(server, seen, over))
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join(DEADLINE)


def _scrape(server: Server, seen: Seen, over: threading.Event) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE)
    before: Metrics | None = None
    while not over.is_set():
        try:
            connection.request("GET", "/metrics")
            answer = connection.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException):
            seen.lost += 1
            connection.close()
            continue
        seen.scrapes += 1
        if answer.status != 200:
            seen.failed.append(f"{answer.status} {text[:200]}")
            continue
        now = Metrics(text)
        if before is not None:
            seen.backwards += _backwards(before, now)
        seen.most_files = max(seen.most_files, now.value("metrics_multiproc_files"))
        slots = len(list(server.metrics_directory.glob("slot_*.lock")))
        seen.most_slots = max(seen.most_slots, slots)
        before = now
    connection.close()


def _backwards(before: Metrics, now: Metrics) -> list[str]:
    """The counters, and the counting parts of histograms, that are less than they were, or gone."""
    return [
        f"{name}{dict(labels)}: {value} -> {now.series.get((name, labels))}"
        for (name, labels), value in before.series.items()
        if name.endswith(MONOTONE) and now.series.get((name, labels), -1) < value
    ]
