"""/metrics of the API: with readiness in it, on the port that is set for it."""

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.job_api import job_api, job_settings

pytestmark = pytest.mark.anyio
DEPENDENCIES = {"database", "storage", "broker"}


def readiness(answer: httpx2.Response) -> dict[str, float]:
    """Check → whether it is up."""
    assert answer.status_code == 200
    families = {f.name: f.samples for f in text_string_to_metric_families(answer.text)}
    return {s.labels["check"]: s.value for s in families["readiness_check_up"]}


@pytest.mark.parametrize("port", [None, 9999])
async def test_each_scrape_shows_readiness(tmp_path, port):
    """As /ready has it; the application behind METRICS_PORT shares the state of the other one."""
    url = f"http://test:{port}/metrics" if port else "/metrics"
    async with job_api(job_settings(tmp_path, metrics_port=port), tmp_path) as api:
        up = readiness(await api.client.get(url))
        assert {name for name in DEPENDENCIES if up[name]} == DEPENDENCIES
        assert up["model:shade"] == 1
        api.queue.down = True
        up = readiness(await api.client.get(url))
        assert {name for name in DEPENDENCIES if not up[name]} == {"broker"}
        if port:
            assert (await api.client.get("/metrics")).status_code == 404
