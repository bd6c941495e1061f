"""Duration of a scrape of a fresh server, and after hundreds of replaced workers."""

import http.client
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.load import load
from benchmarks.paths import ROOT, VAR, environment
from benchmarks.processes import NotRunnable, Server, ask, free_port, running
from benchmarks.stats import median
from benchmarks.subjects import photo_post, product

WORKERS = 4
REPLACED = 500
SCRAPES = 50
LIGHT_APP = "tests.services.light_app:app"  # our metrics and workers without torch: starts at once
RELOAD_SECONDS = 60.0
PAUSE_SECONDS = 0.01


def measure(replaced: int = REPLACED) -> dict[str, Any]:
    """Seconds and bytes of GET /metrics: fresh, after so many workers, and of the whole product."""
    with _light() as server, _light_load(server):
        time.sleep(1)
        fresh = _scrape(server)
        reloads = replaced // WORKERS
        for _ in range(reloads):
            _reload(server)
        later = _scrape(server)
    with product("scrape") as server:
        load(server, photo_post(), WORKERS, 1)
        whole = _scrape(server)
    return {"fresh": fresh, "later": later, "replaced": reloads * WORKERS, "product": whole}


def _light() -> Any:
    port = free_port()
    return running(
        [str(ROOT / "prestart.sh"), "api", LIGHT_APP],
        port=port,
        variables=environment(
            PORT=port,
            LOG_FORMAT="json",
            WEB_CONCURRENCY=WORKERS,
            PROMETHEUS_MULTIPROC_DIR=VAR / "metrics",
        ),
        name="scrape-light",
        ready=lambda server: server.log().count("worker_ready") >= WORKERS,
    )


def _scrape(server: Server) -> dict[str, float]:
    times, size = [], 0
    for _ in range(SCRAPES):
        before = time.perf_counter()
        size = len(ask(server.port, "GET", "/metrics").body)
        times.append(time.perf_counter() - before)
    return {"seconds": median(times), "bytes": size}


def _reload(server: Server) -> None:
    """Send SIGHUP and wait until only new workers run."""
    before = server.workers()
    started = server.log().count("worker_ready")
    server.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + RELOAD_SECONDS
    while time.monotonic() < end:
        now = server.workers()
        new = len(now) == WORKERS and not now & before
        if new and server.log().count("worker_ready") >= started + WORKERS:
            return
        time.sleep(PAUSE_SECONDS)
    raise NotRunnable(f"a reload took more than {RELOAD_SECONDS:g} s")


@contextmanager
def _light_load(server: Server) -> Iterator[None]:
    """About a hundred requests a second meanwhile, so that the workers count something."""
    over = threading.Event()

    def run() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=RELOAD_SECONDS)
        while not over.wait(PAUSE_SECONDS):
            try:
                connection.request("GET", "/work")
                connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                connection.close()
        connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
