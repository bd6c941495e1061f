"""Readiness with jobs on: it names what jobs lack, and asks each neighbour once at a time."""

import asyncio
import sqlite3
from contextlib import closing

import pytest

from project.api.readiness import Probe
from project.errors import StorageUnavailable
from tests.api.test_jobs_faults import api, without_storage, without_tables
from tests.conftest import picture
from tests.job_api import PNG, SHADE, job_api, job_settings

__all__ = ["api"]  # a fixture

pytestmark = pytest.mark.anyio


async def test_readiness_names_what_jobs_lack(api):
    """Each with its latency; green again when it is back."""
    good = await api.client.get("/ready")
    assert good.status_code == 200
    assert {"database", "storage", "broker"} <= set(good.json()["checks"])
    faults = {"database": without_tables(api), "storage": without_storage(api)}
    for name, fault in faults.items():
        with fault:
            answer = await api.client.get("/ready")
            bad = {key for key, check in answer.json()["checks"].items() if not check["ok"]}
            assert (answer.status_code, bad) == (503, {name})
            assert answer.json()["checks"][name]["detail"]
            assert (await api.client.get("/health")).status_code == 200
    api.sender.gone = True
    answer = await api.client.get("/ready")
    assert (answer.status_code, answer.json()["checks"]["broker"]["ok"]) == (503, False)
    api.sender.gone = False
    assert (await api.client.get("/ready")).status_code == 200


async def test_what_all_instances_share_takes_none_of_them_out(api):
    """A balancer that asks for the instance alone keeps predictions going without a database."""
    with without_tables(api):
        answer = await api.client.get("/ready", params={"scope": "instance"})
        assert answer.status_code == 200
        assert all(name.startswith("model:") for name in answer.json()["checks"])
    refused = await api.client.get("/ready", params={"scope": "some"})
    assert (refused.status_code, "scope" in refused.text) == (422, True)


async def test_a_neighbour_that_hangs_is_asked_once_however_many_ask():
    """Probes must not pile up behind it; each has its answer in time."""
    asked, back = [], asyncio.Event()

    async def hang() -> None:
        asked.append(1)
        await back.wait()

    probe = Probe(hang)
    checks = await asyncio.gather(*(probe.check(patience=0.01) for _ in range(20)))
    assert len(asked) == 1
    assert not any(check.ok for check in checks)
    assert checks[0].detail == "no answer within 0.01 s"
    back.set()
    assert (await probe.check()).ok
    assert len(asked) <= 2


async def test_a_probe_tells_what_the_neighbour_says():
    """An error of ours is its detail."""

    async def refuse() -> None:
        raise StorageUnavailable("files cannot be kept")

    check = await Probe(refuse).check()
    assert (check.ok, check.detail) == (False, "files cannot be kept")


async def test_without_tables_the_server_starts_and_is_red_until_they_are_there(tmp_path):
    """A first deployment that forgot to migrate says what to run."""
    settings = job_settings(tmp_path)
    async with job_api(settings, tmp_path, migrate=False) as api:
        answer = await api.client.get("/ready")
        assert answer.status_code == 503
        assert "alembic upgrade head" in answer.json()["checks"]["database"]["detail"]
        refused = await api.client.post(SHADE, content=picture(), headers=PNG)
        assert (refused.status_code, api.files()) == (503, [])
        predicted = await api.client.post(
            "/v1/models/shade/predictions", content=picture(), headers=PNG
        )
        assert predicted.status_code == 200


async def test_an_old_table_is_as_bad_as_none(api):
    """A column that this release needs is missing: red, not a 500."""
    with closing(sqlite3.connect(api.folder / "jobs.db")) as other:
        other.execute("ALTER TABLE jobs DROP COLUMN seconds")
    answer = await api.client.get("/ready")
    assert (answer.status_code, answer.json()["checks"]["database"]["ok"]) == (503, False)
    assert (await api.client.get("/v1/jobs")).status_code == 503
