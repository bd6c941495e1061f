"""Workers come and go by the dozen, and the metrics stay whole.

Served is light_app: everything of the product that has to do with workers and metrics, without
the models. A worker then starts in tenths of a second.
"""

import os
import signal
from pathlib import Path

from drills.server import Server
from drills.waiting import wait_until
from tests.services.load import Client, Load, Outcome
from tests.services.scraper import scraping
from tests.services.server import serve

LIGHT_APP = "tests.services.light_app:app"
WORKERS = 8
REPLACEMENTS = 40
GAUGE_MODES = 3
KINDS = 2 + GAUGE_MODES  # files of one slot: counters, histograms, and gauges by mode


def work(client: Client) -> Outcome:
    return client.request("GET", "/work")


def exits(server: Server, reason: str | None = None) -> float:
    labels = {"reason": reason} if reason else {}
    return server.metrics().value("server_worker_exits_total", **labels)


def end_workers(server: Server, pids: list[int], number: int) -> None:
    """Send these workers a signal and wait until others serve in their place."""
    ready = server.log().count("worker_ready")
    for pid in pids:
        os.kill(pid, number)
    wait_until(
        lambda: (
            len(set(server.workers()) - set(pids)) == WORKERS
            and server.log().count("worker_ready") >= ready + len(pids)
        ),
        "the ended workers are replaced",
    )


def test_many_replaced_workers_cost_no_scrape_and_no_count(tmp_path: Path):
    """Killed, told to stop or reloaded: scrapes go on, counters go up, files stay few."""
    killed = ended = reloaded = 0
    with serve(tmp_path, app=LIGHT_APP, WEB_CONCURRENCY=WORKERS) as server:
        with Load(server, clients=1, ask=work), scraping(server) as seen:
            while killed + ended + reloaded < REPLACEMENTS:
                server.reload()
                reloaded += WORKERS
                workers = server.workers()
                for pids in (workers[:2], workers[2:5], workers[5:]):
                    end_workers(server, pids, signal.SIGKILL)
                    killed += len(pids)
                end_workers(server, server.workers()[:4], signal.SIGTERM)
                ended += 4
        assert seen.failed == []
        assert seen.backwards == []
        assert seen.lost <= killed  # each may have had the scraper's connection
        assert seen.scrapes > REPLACEMENTS
        assert seen.most_slots <= WORKERS * 2 + 2
        assert seen.most_files <= (seen.most_slots + 1) * KINDS
        now = server.metrics()
        assert now.value("server_workers") == WORKERS
        assert now.value("server_workers_expected") == WORKERS
        assert exits(server, "killed") == killed
        assert exits(server, "clean") == ended + reloaded
        assert exits(server) == killed + ended + reloaded


def test_workers_that_reach_max_requests_leave_without_failing_one(tmp_path: Path):
    """Each goes after some fifty requests, its clients keep their connections, none notices."""
    settings = {"MAX_REQUESTS": 50, "MAX_REQUESTS_JITTER": 20, "WEB_CONCURRENCY": 3}
    with serve(tmp_path, app=LIGHT_APP, **settings) as server:
        with Load(server, ask=work) as load, scraping(server) as seen:
            wait_until(lambda: exits(server, "clean") >= 20, "twenty workers have been replaced")
        assert set(load.summary()) == {200}
        assert seen.failed == []
        assert seen.backwards == []
        assert seen.lost == 0
        wait_until(lambda: served(server) >= len(load.outcomes), "every request has been counted")
        now = server.metrics()
        assert served(server) == len(load.outcomes)
        assert now.value("server_worker_exits_total", reason="clean") == now.value(
            "server_worker_exits_total"
        )


def served(server: Server) -> float:
    return server.metrics().value("http_requests_total", handler="/work", status="200")
