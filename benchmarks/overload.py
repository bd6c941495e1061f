"""Overload: goodput and latency with more requests than can be served.

h2load's 400 clients send at a fixed rate each, in HTTP/1.1, and connect one after another so that
their requests are spread evenly. A client has one request in flight: where answers take longer than
its interval, it falls behind, and less is sent than was asked for. Both rates are reported. The
first second, in which the clients connect, is reported separately, as other loads are warmed up.
"""

import http.client
import resource
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks import headroom
from benchmarks.load import Post, load
from benchmarks.paths import PHOTO, VAR
from benchmarks.processes import ASK_SECONDS, NotRunnable, Server
from benchmarks.stats import quantile
from benchmarks.subjects import photo_post, product

CLIENTS = 400
CONNECT_BATCH = 10  # clients that connect together
FULL = 56  # concurrent clients that are all served: more would exceed QUEUE_SECONDS
ONSET_SECONDS = 1.0
FACTORS = (2, 5, 10)
HEALTH_SECONDS = 0.05
REST_SECONDS = 2.0  # between loads, until the last answers of the previous one are sent
MAX_SECONDS = 90.0
HEADROOM_REQUESTS = 1_000_000  # more than are sent until it is stopped
OPEN_FILES = 4096
MICROSECONDS = 1e6
COLUMNS = 3  # of its log: start, status, duration
OK, REFUSED = 200, 503


def measure(seconds: float, rounds: int) -> dict[str, Any]:
    """The peak by closed loops, then the overload at each factor of it, in one server a round."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(OPEN_FILES, most), most))
    post = photo_post()
    found = []
    for _ in range(rounds):
        with product("overload") as server:
            load(server, post, 4, REST_SECONDS)
            sixteen, full = load(server, post, 16, seconds), load(server, post, FULL, seconds)
            if full["bad"]:  # fast refusals among the latencies would flatter
                raise NotRunnable(f"{full['bad']} rejections with {FULL} clients")
            peak = max(sixteen["requests_per_second"], full["requests_per_second"])
            steps = {}
            for factor in FACTORS:
                time.sleep(REST_SECONDS)
                steps[str(factor)] = _overload(server, post, factor * peak, seconds)
        command = _command(post, FACTORS[-1] * peak, HEADROOM_REQUESTS)
        left = headroom.measure(command, post, seconds)
        found.append({"peak": peak, "p99_full": full["p99"], "steps": steps, "room": left})
    return {"rounds": found, "clients": CLIENTS}


def _overload(server: Server, post: Post, rate: float, seconds: float) -> dict[str, float]:
    log = VAR / "load" / "h2load.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)  # it would append
    lasts = ONSET_SECONDS + seconds
    sending = _command(post, rate, max(CLIENTS, round(rate * lasts)))
    command = [*sending, "--log-file", str(log), server.url(post.path)]
    before, began = _children_seconds(), time.perf_counter()
    with _asking_health(server) as health, suppress(subprocess.TimeoutExpired):
        subprocess.run(command, capture_output=True, check=False, timeout=lasts + MAX_SECONDS)
    taken = (_children_seconds() - before) / (time.perf_counter() - began)
    found = {"asked": rate, "generator_processors": taken}
    return found | _split(log, seconds) | _health(health)


def _command(post: Post, rate: float, requests: int) -> list[str]:
    """h2load's command line with so many requests at that rate, without the URL."""
    pace = rate / CLIENTS
    arrival = max(
        1, round(1000 * CONNECT_BATCH / rate)
    )  # so that the first requests come at that rate, too
    return [
        *("h2load", "--h1", "--threads", "1", "--clients", str(CLIENTS)),
        *("--requests", str(requests)),
        *("--rate", str(CONNECT_BATCH), "--rate-period", f"{arrival}ms", "--rps", f"{pace:.4f}"),
        *("--data", str(PHOTO), "--header", f"content-type: {post.content_type}"),
    ]


def _children_seconds() -> float:
    """Processor time of the load generators so far, which the server could not use."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _split(log: Path, seconds: float) -> dict[str, float]:
    """Results in so many seconds after the first; after them, h2load runs out of requests."""
    lines = (line.split() for line in log.read_text().splitlines()) if log.exists() else ()
    rows = [(int(line[0]), int(line[1]), int(line[2])) for line in lines if len(line) >= COLUMNS]
    if not rows:
        raise NotRunnable("h2load logged no request")
    begin = min(start for start, _, _ in rows) + ONSET_SECONDS * MICROSECONDS
    end = begin + seconds * MICROSECONDS
    sent = [row for row in rows if begin <= row[0] < end]
    ended = [status for start, status, took in rows if begin <= start + took < end]
    at_first = [row for row in rows if row[0] < begin]
    return {
        "sent": len(sent) / seconds,
        "goodput": ended.count(OK) / seconds,
        "refused": ended.count(REFUSED) / seconds,
        "other": len(rows) - sum(status in (OK, REFUSED) for _, status, _ in rows),
        "p50": quantile(_latencies(sent, OK), 0.5),
        "p99": quantile(_latencies(sent, OK), 0.99),
        "onset_p99": quantile(_latencies(at_first, OK), 0.99),
        "refused_p50": quantile(_latencies(sent, REFUSED), 0.5),
    }


def _latencies(rows: list[tuple[int, int, int]], status: int) -> list[float]:
    return [took / MICROSECONDS for _, found, took in rows if found == status]


def _health(times: list[float]) -> dict[str, float]:
    return {"health_worst": max(times), "health_p99": quantile(times, 0.99)}


@contextmanager
def _asking_health(server: Server) -> Iterator[list[float]]:
    """Seconds of each GET /health meanwhile, on a separate connection."""
    times: list[float] = []
    over = threading.Event()

    def run() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=ASK_SECONDS)
        while not over.is_set():
            before = time.perf_counter()
            try:
                connection.request("GET", "/health")
                connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                connection.close()  # the time until then counts; the next request reconnects
            times.append(time.perf_counter() - before)
            over.wait(HEALTH_SECONDS)
        connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield times
    finally:
        over.set()
        thread.join()
