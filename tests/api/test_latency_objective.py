"""The objective of latency: the answers of a model are judged by its own time; no error is."""

import pytest
from prometheus_client import REGISTRY
from starlette.testclient import TestClient

from project.api.factory import create_app
from project.observability.metrics import LATENCY_RESULTS
from tests.conftest import make_settings, picture
from tests.fakes import BlendModel, PaintModel, ShadeModel
from tests.job_api import PNG, job_api, job_settings
from tests.samples import sample

Counts = tuple[float, float]


class Hasty(ShadeModel):
    """No answer is fast enough."""

    slo_seconds = 0.0


class Patient(ShadeModel):
    """Every answer is fast enough."""

    slo_seconds = 3600.0


def counts(model: str) -> Counts:
    good, slow = (sample("slo_latency_total", model=model, result=it) for it in LATENCY_RESULTS)
    return good, slow


def gained(model: str, before: Counts) -> Counts:
    good, slow = counts(model)
    return good - before[0], slow - before[1]


@pytest.mark.parametrize(("kind", "expected"), [(Patient, (1, 0)), (Hasty, (0, 1))])
def test_an_answer_is_good_or_slow_by_the_time_of_its_model(kind, expected):
    """A style transfer of a second is good, a classification of a second is not."""
    before = counts("judged")
    with TestClient(create_app(make_settings(), [kind("judged")])) as client:
        answer = client.post("/v1/models/judged/predictions", content=picture(), headers=PNG)
    assert answer.status_code == 200
    assert gained("judged", before) == expected
    assert sample("model_slo_seconds", model="judged") == kind.slo_seconds


def test_an_error_is_neither_good_nor_slow(client, shade):
    """A 4xx is the client's, a 5xx spends the budget of availability."""
    path = "/v1/models/shade/predictions"
    before = counts("shade")
    assert client.post(path, content=b"no picture", headers=PNG).status_code == 422
    assert client.post(path, content=b"", headers={"Accept": "text/html"}).status_code == 406
    shade.forward_error = RuntimeError("broken")
    assert client.post(path, content=picture(), headers=PNG).status_code == 500
    assert gained("shade", before) == (0, 0)


@pytest.mark.anyio
async def test_a_job_instead_of_an_answer_is_neither(tmp_path):
    """202 of Prefer: respond-async is fast whatever the model is."""
    before = counts("shade")
    async with job_api(job_settings(tmp_path), tmp_path) as api:
        headers = PNG | {"Prefer": "respond-async"}
        answer = await api.client.post(
            "/v1/models/shade/predictions", content=picture(), headers=headers
        )
    assert answer.status_code == 202
    assert gained("shade", before) == (0, 0)


@pytest.mark.anyio
async def test_a_model_has_an_objective_where_it_answers_at_once(tmp_path):
    """From the start, so that a rate sees its first answer; one in the background has none."""
    models = [BlendModel("at_once"), PaintModel("in_the_background")]
    async with job_api(job_settings(tmp_path), tmp_path, models):
        for result in LATENCY_RESULTS:
            labels = {"model": "at_once", "result": result}
            assert REGISTRY.get_sample_value("slo_latency_total", labels) == 0
            labels = {"model": "in_the_background", "result": result}
            assert REGISTRY.get_sample_value("slo_latency_total", labels) is None
        assert sample("model_slo_seconds", model="at_once") == BlendModel.slo_seconds
        labels = {"model": "in_the_background"}
        assert REGISTRY.get_sample_value("model_slo_seconds", labels) is None
