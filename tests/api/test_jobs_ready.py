"""Readiness with jobs on: it names the dependencies that fail, and checks each once at a time."""

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


async def test_readiness_names_the_dependency_that_fails(api):
    """It recovers when the dependency is back."""
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
    api.queue.down = True
    answer = await api.client.get("/ready")
    assert (answer.status_code, answer.json()["checks"]["broker"]["ok"]) == (503, False)
    api.queue.down = False
    assert (await api.client.get("/ready")).status_code == 200


async def test_scope_instance_leaves_out_shared_dependencies(api):
    """A balancer that asks with it keeps predictions going without a database."""
    with without_tables(api):
        answer = await api.client.get("/ready", params={"scope": "instance"})
        assert answer.status_code == 200
        assert all(name.startswith("model:") for name in answer.json()["checks"])
    refused = await api.client.get("/ready", params={"scope": "some"})
    assert (refused.status_code, "scope" in refused.text) == (422, True)


async def test_a_dependency_that_hangs_is_checked_once_at_a_time():
    """Probes do not pile up behind it; each returns in time."""
    asked, back = [], asyncio.Event()

    async def hang() -> None:
        asked.append(1)
        await back.wait()

    probe = Probe(hang)
    checks = await asyncio.gather(*(probe.check(timeout=0.01) for _ in range(20)))
    assert len(asked) == 1
    assert not any(check.ok for check in checks)
    assert checks[0].detail == "no answer within 0.01 s"
    back.set()
    assert (await probe.check()).ok
    assert len(asked) <= 2


async def test_a_probe_reports_the_detail_of_an_error():
    """Of a ProjectError."""

    async def refuse() -> None:
        raise StorageUnavailable("files cannot be kept")

    check = await Probe(refuse).check()
    assert (check.ok, check.detail) == (False, "files cannot be kept")


async def test_without_tables_the_server_starts_and_is_not_ready(tmp_path):
    """After a first deployment without migrations it says what to run; predictions work."""
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


async def test_an_outdated_table_is_not_ready(api):
    """A missing column is a 503, not a 500."""
    with closing(sqlite3.connect(api.folder / "jobs.db")) as other:
        other.execute("ALTER TABLE jobs DROP COLUMN seconds")
    answer = await api.client.get("/ready")
    assert (answer.status_code, answer.json()["checks"]["database"]["ok"]) == (503, False)
    assert (await api.client.get("/v1/jobs")).status_code == 503
