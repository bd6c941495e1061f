"""Readiness: what is checked, in which time, and what a scrape shows of it."""

import asyncio

import pytest
from prometheus_client.core import GaugeMetricFamily

from project.api.readiness import Check, Probe, ReadinessChecks, readiness_metrics
from project.errors import StorageUnavailable

pytestmark = pytest.mark.anyio


async def unavailable() -> None:
    raise StorageUnavailable("files cannot be kept or read now")


async def hang() -> None:
    await asyncio.Event().wait()


async def test_dependencies_that_hang_delay_no_check():
    """All are checked concurrently, and none for longer than the time-out."""
    both = asyncio.Barrier(2)

    async def answer_together() -> None:
        await both.wait()

    asked = {"hangs": hang, "one": answer_together, "fails": unavailable, "other": answer_together}
    probes = {name: Probe(ask) for name, ask in asked.items()}
    checks = await ReadinessChecks({}, probes, timeout=0.2).check_shared()
    assert {name for name, check in checks.items() if check.ok} == {"one", "other"}
    assert checks["hangs"].detail == "no answer within 0.2 s"
    assert checks["hangs"].latency_seconds >= 0.19
    assert checks["fails"].detail == "files cannot be kept or read now"


def test_once_shutdown_begins_an_instance_is_not_ready():
    """Balancers send no new requests; it has no other reason to fail here."""
    checks = ReadinessChecks({}, {})
    assert checks.check_instance() == {}
    checks.begin_shutdown()
    assert [(name, check.ok) for name, check in checks.check_instance().items()] == [
        ("shutdown", False)
    ]


def test_a_scrape_shows_dependencies_and_the_models_of_all_workers():
    """A model is up where `model_loaded`, which all workers share, says so."""
    loaded = GaugeMetricFamily("model_loaded", "1 where loaded.", labels=["model"])
    loaded.add_metric(["shade"], 1)
    loaded.add_metric(["blend"], 0)
    shared = {
        "storage": Check(ok=False, latency_seconds=2, detail="no answer within 2 s"),
        "broker": Check(ok=True, latency_seconds=0.25),
    }
    up, seconds = readiness_metrics(shared, [loaded])
    assert {sample.labels["check"]: sample.value for sample in up.samples} == {
        "model:shade": 1,
        "model:blend": 0,
        "storage": 0,
        "broker": 1,
    }
    assert {sample.labels["check"]: sample.value for sample in seconds.samples} == {
        "storage": 2,
        "broker": 0.25,
    }
