"""A queue for each model, with real worker processes: what a worker takes, and what it leaves."""

import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from drills.job_workers import JobWorkers, run_job_workers
from drills.source_tree import copy_tree
from drills.valkey import Valkey
from drills.waiting import wait_until
from project.db.engine import open_database
from project.db.usage import Usage, month_of
from project.jobs.queue import JobQueue
from project.jobs.user_jobs import UserJobs
from project.settings import Settings
from tests.conftest import make_settings
from tests.database import sqlite_url
from tests.job_worker import JobStore, begun, ended, open_job_store
from tests.ops.tools import ROOT
from tests.usage import add_user

pytestmark = pytest.mark.anyio
MINUTE, SECOND = "minute", "second"  # models, named by what their jobs take
MANY = 20
USER_JOBS = 3


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source tree with both models; a job of either takes as long as its parameter says."""
    folder = tmp_path_factory.mktemp("queues")
    plugins = [folder / f"{name}.py" for name in (MINUTE, SECOND)]
    for path in plugins:
        path.write_text((ROOT / "drills/plugins/drill_job.py").read_text())
    return copy_tree(folder / "tree", plugins)


@pytest.fixture
def settings(tmp_path: Path, valkey: Valkey) -> Settings:
    return make_settings(
        jobs=True,
        database_url=SecretStr(sqlite_url(tmp_path)),
        storage_url=f"file:{tmp_path}/storage",
        redis_url=SecretStr(valkey.url),
    )


@pytest.fixture
def variables(tmp_path: Path, tree: Path, valkey: Valkey) -> dict[str, object]:
    """The environment of workers that load both models."""
    return {
        "MODELS": f"{MINUTE},{SECOND}",
        "DATABASE_URL": sqlite_url(tmp_path),
        "STORAGE_URL": f"file:{tmp_path}/storage",
        "REDIS_URL": valkey.url,
    }


async def send(store: JobStore, model: str, **params: object) -> str:
    """Add a job and send it, as the API does."""
    job_id = await store.submit(model, **params)
    await JobQueue.of(store.settings).send(await store.job(job_id))
    await store.transitions.mark_sent(job_id, time.time())
    return job_id


def messages(crew: JobWorkers, model: str) -> dict[str, float]:
    """State → messages of a model's queue, as the workers' metrics have them."""
    metrics, name = crew.metrics(), "jobs_queue_messages"
    return {state: metrics.value(name, queue=model, state=state) for state in ("ready", "running")}


def taken(crew: JobWorkers) -> set[str]:
    """The queues that living workers take, by the gauge that JobsNotProcessing asks."""
    samples = crew.metrics().samples
    name = "dramatiq_messages_inprogress"
    return {sample.labels["queue_name"] for sample in samples if sample.name == name}


async def test_a_seconds_work_does_not_wait_behind_a_minutes(tmp_path, tree, variables, settings):
    """One worker is busy for long: the idle one takes every other message, of either queue."""
    with run_job_workers(tmp_path, root=tree, **variables) as crew:
        async with open_job_store(settings) as store:
            long = await send(store, MINUTE, seconds=600)
            await store.wait_for(long, begun)
            short = [await send(store, model) for model in (SECOND, MINUTE) * (MANY // 2)]
            for job_id in short:
                assert (await store.wait_for(job_id, ended)).status == "succeeded"
            assert (await store.job(long)).status == "running"
            wait_until(
                lambda: messages(crew, SECOND) == {"ready": 0, "running": 0}, "the queue is empty"
            )
            assert messages(crew, MINUTE) == {"ready": 0, "running": 1}
        scraped = crew.metrics()
        for model, count in ((SECOND, MANY // 2), (MINUTE, MANY // 2)):
            assert scraped.value("dramatiq_messages_total", queue_name=model) == count
            assert scraped.value("jobs_oldest_message_age_seconds", queue=model) == 0


async def test_a_worker_takes_the_queues_that_job_queues_names(tmp_path, tree, variables, settings):
    """Jobs of the other queue pile up, seen in its metrics, until a worker takes that one."""
    own = {**variables, "WORKER_PROCESSES": 1}
    with run_job_workers(tmp_path, root=tree, **own, JOB_QUEUES=SECOND) as crew:
        async with open_job_store(settings) as store:
            piled = [await send(store, MINUTE) for _ in range(3)]
            for _ in range(3):
                job = await store.wait_for(await send(store, SECOND), ended)
                assert job.status == "succeeded"
            assert messages(crew, MINUTE) == {"ready": 3, "running": 0}
            assert taken(crew) == {SECOND}
            assert crew.metrics().value("jobs_oldest_message_age_seconds", queue=MINUTE) > 0
            assert [(await store.job(job_id)).status for job_id in piled] == ["accepted"] * 3
            others = tmp_path / "others"
            others.mkdir()
            with run_job_workers(others, root=tree, **own | {"MODELS": MINUTE}):
                for job_id in piled:
                    job = await store.wait_for(job_id, ended)
                    assert (job.status, job.attempts) == ("succeeded", 1)


async def test_many_jobs_of_one_user_do_not_keep_the_first_of_another_waiting(
    tmp_path, tree, variables, settings
):
    """It starts after those that are in the broker; and each that succeeds is counted once."""
    held = tree / "held"
    held.touch()
    settings = settings.model_copy(update={"auth": "keys", "user_jobs": USER_JOBS})
    own = {**variables, "WORKER_PROCESSES": 1, "AUTH": "keys", "USER_JOBS": USER_JOBS}
    async with open_job_store(settings) as store, open_database(settings) as engine:
        usage, queue = Usage(engine), JobQueue.of(settings)
        user_jobs = UserJobs.of(settings, store.queries, store.transitions, usage, queue)
        assert user_jobs
        for user_id in ("ann", "bob"):
            await add_user(engine, user_id)
        month = month_of(time.time())
        await usage.reserve("ann", month, 1, 1)
        many = [await store.submit(SECOND, user_id="ann") for _ in range(4 * MANY)]
        await user_jobs.send("ann")
        with run_job_workers(tmp_path, root=tree, **own):
            await store.wait_for(many[0], begun)
            first = await store.submit(SECOND, user_id="bob")
            await user_jobs.send("bob")
            held.unlink()
            assert (await store.wait_for(first, ended)).status == "succeeded"
            for job_id in many[: 2 * USER_JOBS]:
                await store.wait_for(job_id, ended)
        started = (await store.job(first)).started_at
        rows = [await store.job(job_id) for job_id in many]
        before = [row for row in rows if row.started_at and row.started_at < started]
        assert 1 <= len(before) <= USER_JOBS
        assert [row.id for row in before] == many[: len(before)]
        assert sum(row.status == "accepted" and row.sent_at is None for row in rows) > MANY
        for job_id in await usage.unsettled_jobs(MANY):  # of a worker that ended at once
            await usage.settle_job(job_id)
        succeeded = sum(row.status == "succeeded" for row in rows)
        assert (await usage.get("ann", month))[1] == succeeded


async def test_an_unknown_queue_stops_the_start(tmp_path, tree, variables):
    """In one line that names the queues that there are."""
    with (
        pytest.raises(RuntimeError, match=r"JOB_QUEUES: no queue hour;.* minute, second"),
        run_job_workers(tmp_path, root=tree, **variables, JOB_QUEUES=f"{SECOND},hour"),
    ):
        pytest.fail("it has started")
