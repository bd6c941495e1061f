"""`python -m benchmarks.costs`: cost of a request, a job and an idle worker to shared services."""

import asyncio
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.costs.backlog import query_times, row_bytes
from benchmarks.costs.deployment import LONG, WORKERS, Deployment, idle, standing
from benchmarks.costs.meters import Reading, each
from benchmarks.machine import machine
from benchmarks.tables import table
from drills.server import Metrics
from project.db.engine import CONNECTIONS
from project.jobs.consumer import make_broker

IDLE_SECONDS, JOBS, PREDICTIONS, ASKED = 30.0, 200, 300, 100
FETCHES = 20_000
ROWS, BACKLOGS = 100_000, (1_000, 10_000, 100_000)


def main() -> None:
    """Measure each cost, and print tables."""
    found = machine()
    print(f"{found['processor']}, {found['cores']} cores; python -m benchmarks.costs\n")
    with (
        tempfile.TemporaryDirectory(prefix="costs-") as folder,
        standing(Path(folder)) as deployment,
    ):
        _show(_costs(deployment))
        _statements(deployment)
        _expositions(deployment)
        deployment.job_workers.stop()
        _broker(deployment)
        print(f"bytes of an ended job's row, with indexes: {row_bytes(deployment, ROWS):.0f}\n")
        _backlogs(deployment)


def _costs(deployment: Deployment) -> dict[str, Reading]:
    """Column → cost of one of its kind; of the idle worker, per second."""
    resting: Reading = {}
    with deployment.meters.measured(resting):
        idle(deployment, IDLE_SECONDS)
    found = {"a worker, idle, a second": each(resting, IDLE_SECONDS * WORKERS, lambda _: 0.0)}
    job_id = deployment.run(1)[0]
    actions = {
        "a job": (partial(deployment.run, JOBS), JOBS),
        "a status request": (partial(deployment.get, f"/v1/jobs/{job_id}", ASKED), ASKED),
        "/ready": (partial(deployment.get, "/ready", ASKED), ASKED),
        "a scrape of the API": (partial(deployment.get, "/metrics", ASKED), ASKED),
        "a scrape of workers": (
            lambda: [deployment.job_workers.metrics() for _ in range(ASKED)],
            ASKED,
        ),
        "a prediction": (partial(deployment.predict, PREDICTIONS), PREDICTIONS),
    }
    for name, (action, number) in actions.items():
        used: Reading = {}
        began = time.perf_counter()
        with deployment.meters.measured(used):
            action()
        share = (time.perf_counter() - began) / IDLE_SECONDS
        found[name] = each(used, number, lambda what, share=share: resting[what] * share)
    return found


def _show(costs: dict[str, Reading]) -> None:
    names = list(next(iter(costs.values())))
    rows = [[name, *(_figure(name, column[name]) for column in costs.values())] for name in names]
    print("\n".join(table(["", *costs], rows)))


def _figure(name: str, value: float) -> str:
    if name.endswith("CPU seconds"):
        return f"{1000 * value:.2f} ms"
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}"  # noqa: PLR2004


def _statements(deployment: Deployment) -> None:
    found = asyncio.run(deployment.meters.statements())
    common = sorted(found.items(), key=lambda item: -item[1])[:16]
    print("\n".join(table(["statement", "times"], [[text[:90], str(n)] for text, n in common])))


def _expositions(deployment: Deployment) -> None:
    scraped: dict[str, Metrics] = {
        "API": deployment.server.metrics(),
        "workers": deployment.job_workers.metrics(),
    }
    text = deployment.client.get("/metrics").content
    for name, metrics in scraped.items():
        print(f"series of the {name}: {len(metrics.series)}")
    print(f"bytes of the API's: {len(text)}")
    connections = asyncio.run(
        deployment.meters.run(
            "SELECT count(*) AS open FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    )
    print(f"connections now: {connections[0]['open']}; a process opens {CONNECTIONS} at most\n")


def _broker(deployment: Deployment) -> None:
    """Cost of an idle Valkey, and of fetches without a pause."""
    resting: Reading = {}
    with deployment.meters.measured(resting):
        idle(deployment, IDLE_SECONDS)
    name = "Valkey: CPU seconds"
    print(f"{name} without any worker, a second: {1000 * resting[name] / IDLE_SECONDS:.2f} ms")
    broker = make_broker(deployment.settings, [])
    used: Reading = {}
    with deployment.meters.measured(used):
        for _ in range(FETCHES):
            broker.do_fetch(LONG, 1)
    print(
        f"{name} of a fetch of messages, one after another: {1e6 * used[name] / FETCHES:.0f} us\n"
    )


def _backlogs(deployment: Deployment) -> None:
    columns = {f"{waiting} wait": query_times(deployment, waiting) for waiting in BACKLOGS}
    names = list(next(iter(columns.values())))
    rows = [[name, *(f"{column[name]:.3g}" for column in columns.values())] for name in names]
    print("\n".join(table(["milliseconds, and bytes", *columns], rows)))


if __name__ == "__main__":
    main()
