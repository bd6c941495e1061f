"""`python -m benchmarks.costs`: what each request, job and idle worker costs what hosts share."""

import asyncio
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.costs.backlog import looks, row_bytes
from benchmarks.costs.meters import Reading, each
from benchmarks.costs.plant import WORKERS, Plant, idle, standing
from benchmarks.machine import machine
from benchmarks.tables import table
from drills.server import Metrics
from project.db.engine import CONNECTIONS
from project.jobs.send import QUEUE, make_broker

IDLE_SECONDS, JOBS, PREDICTIONS, ASKED = 30.0, 200, 300, 100
LOOKS = 20_000
ROWS, BACKLOGS = 100_000, (1_000, 10_000, 100_000)


def main() -> None:
    """Measure one thing after another, and print tables."""
    found = machine()
    print(f"{found['processor']}, {found['cores']} cores; python -m benchmarks.costs\n")
    with (
        tempfile.TemporaryDirectory(prefix="costs-") as folder,
        standing(Path(folder)) as plant,
    ):
        _show(_costs(plant))
        _statements(plant)
        _expositions(plant)
        plant.crew.stop()
        _broker(plant)
        print(f"bytes of an ended job's row, with indexes: {row_bytes(plant, ROWS):.0f}\n")
        _backlogs(plant)


def _costs(plant: Plant) -> dict[str, Reading]:
    """Column → what one of its kind costs; of the idle worker, in a second."""
    resting: Reading = {}
    with plant.meters.measured(resting):
        idle(plant, IDLE_SECONDS)
    found = {"a worker, idle, a second": each(resting, IDLE_SECONDS * WORKERS, lambda _: 0.0)}
    job_id = plant.run(1)[0]
    deeds = {
        "a job": (partial(plant.run, JOBS), JOBS),
        "a look at a job": (partial(plant.get, f"/v1/jobs/{job_id}", ASKED), ASKED),
        "/ready": (partial(plant.get, "/ready", ASKED), ASKED),
        "a scrape of the API": (partial(plant.get, "/metrics", ASKED), ASKED),
        "a scrape of workers": (lambda: [plant.crew.metrics() for _ in range(ASKED)], ASKED),
        "a prediction": (partial(plant.predict, PREDICTIONS), PREDICTIONS),
    }
    for name, (deed, number) in deeds.items():
        used: Reading = {}
        began = time.perf_counter()
        with plant.meters.measured(used):
            deed()
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


def _statements(plant: Plant) -> None:
    found = asyncio.run(plant.meters.statements())
    common = sorted(found.items(), key=lambda item: -item[1])[:16]
    print("\n".join(table(["statement", "times"], [[text[:90], str(n)] for text, n in common])))


def _expositions(plant: Plant) -> None:
    scraped: dict[str, Metrics] = {"API": plant.server.metrics(), "workers": plant.crew.metrics()}
    text = plant.client.get("/metrics").content
    for name, metrics in scraped.items():
        print(f"series of the {name}: {len(metrics.series)}")
    print(f"bytes of the API's: {len(text)}")
    connections = asyncio.run(
        plant.meters.run(
            "SELECT count(*) AS open FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    )
    print(f"connections now: {connections[0]['open']}; a process opens {CONNECTIONS} at most\n")


def _broker(plant: Plant) -> None:
    """What Valkey does for nobody, and for a worker that asks again without a pause."""
    resting: Reading = {}
    with plant.meters.measured(resting):
        idle(plant, IDLE_SECONDS)
    name = "Valkey: CPU seconds"
    print(f"{name} without any worker, a second: {1000 * resting[name] / IDLE_SECONDS:.2f} ms")
    broker = make_broker(plant.settings, [])
    used: Reading = {}
    with plant.meters.measured(used):
        for _ in range(LOOKS):
            broker.do_fetch(QUEUE, 1)
    print(f"{name} of a look for messages, one after another: {1e6 * used[name] / LOOKS:.0f} us\n")


def _backlogs(plant: Plant) -> None:
    columns = {f"{waiting} wait": looks(plant, waiting) for waiting in BACKLOGS}
    names = list(next(iter(columns.values())))
    rows = [[name, *(f"{column[name]:.3g}" for column in columns.values())] for name in names]
    print("\n".join(table(["milliseconds, and bytes", *columns], rows)))


if __name__ == "__main__":
    main()
