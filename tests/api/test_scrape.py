"""What a scrape of the API says of readiness, and that nothing holds it up."""

import asyncio
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from project.api.readiness import PATIENCE_SECONDS
from tests.api.test_jobs_faults import api, without_storage
from tests.job_api import JobApi, job_api, job_settings

__all__ = ["api"]  # a fixture

pytestmark = pytest.mark.anyio
NEIGHBOURS = {"database", "storage", "broker"}


async def scrape(api: JobApi, url: str = "/metrics") -> dict[str, dict[str, float]]:
    """Metric → check → value."""
    answer = await api.client.get(url)
    assert answer.status_code == 200
    return {
        family.name: {sample.labels["check"]: sample.value for sample in family.samples}
        for family in text_string_to_metric_families(answer.text)
        if family.name.startswith("readiness_check")
    }


async def test_readiness_is_seen_at_each_scrape(api):
    """The same answers as /ready has, and what asking took."""
    seen = await scrape(api)
    assert {name for name, up in seen["readiness_check_up"].items() if up} >= NEIGHBOURS
    assert seen["readiness_check_up"]["model:shade"] == 1
    assert set(seen["readiness_check_duration_seconds"]) == NEIGHBOURS
    assert all(0 <= value < 1 for value in seen["readiness_check_duration_seconds"].values())
    with without_storage(api):
        up = (await scrape(api))["readiness_check_up"]
    assert {name for name in NEIGHBOURS if not up[name]} == {"storage"}
    assert (await scrape(api))["readiness_check_up"]["storage"] == 1


async def test_neighbours_that_hang_hold_up_no_scrape(api):
    """All are asked at once, and none is waited for beyond its patience."""
    back = asyncio.Event()

    async def hang() -> None:
        await back.wait()

    for probe in api.desk.probes.values():
        probe._ask = hang
    began = time.perf_counter()
    seen = await scrape(api)
    assert time.perf_counter() - began < PATIENCE_SECONDS + 1
    assert {seen["readiness_check_up"][name] for name in NEIGHBOURS} == {0}
    assert all(
        PATIENCE_SECONDS - 0.1 < seconds < PATIENCE_SECONDS + 1
        for seconds in seen["readiness_check_duration_seconds"].values()
    )
    back.set()


async def test_on_a_port_of_its_own_the_metrics_say_the_same(tmp_path):
    """The application behind METRICS_PORT shares what the other one has opened."""
    settings = job_settings(tmp_path, metrics_port=9999)
    async with job_api(settings, tmp_path) as api:
        assert (await api.client.get("/metrics")).status_code == 404
        seen = await scrape(api, "http://test:9999/metrics")
        assert set(seen["readiness_check_up"]) >= {"model:shade", *NEIGHBOURS}
