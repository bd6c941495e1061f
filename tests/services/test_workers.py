"""The job workers as shipped: started, killed, frozen, stopped; nothing is lost by it."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psutil
import pytest
from pydantic import SecretStr

from drills.job_workers import START_DEADLINE, JobWorkers, run_job_workers
from drills.source_tree import copy_tree
from drills.stack import PLUGINS
from drills.valkey import Valkey
from drills.waiting import wait_until
from project.jobs.queue import JobQueue, QueueReader
from project.settings import Settings
from tests.conftest import make_settings
from tests.database import create_tables, database_settings, sqlite_url
from tests.job_worker import JobStore, begun, ended, open_job_store

pytestmark = pytest.mark.anyio

RUNNING_AGAIN_SECONDS = 30.0  # what we promise for the job of a worker that was killed
MODEL = "drill_job"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source tree with a model whose jobs take as long as a test wants."""
    return copy_tree(tmp_path_factory.mktemp("workers") / "tree", [PLUGINS / f"{MODEL}.py"])


@pytest.fixture
def held(tree: Path) -> Iterator[Path]:
    """While it is there, no job ends."""
    path = tree / "held"
    path.touch()
    yield path
    path.unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def tables(tmp_path: Path) -> None:
    """The database exists, so that no worker has to wait until it is migrated."""
    asyncio.run(create_tables(database_settings(sqlite_url(tmp_path))))


def variables(folder: Path, valkey: Valkey, **changes: object) -> dict[str, object]:
    """The environment of the workers."""
    return {
        "MODELS": MODEL,
        "DATABASE_URL": sqlite_url(folder),
        "STORAGE_URL": f"file:{folder}/storage",
        "REDIS_URL": valkey.url,
        **changes,
    }


def settings_of(folder: Path, valkey: Valkey) -> Settings:
    return make_settings(
        jobs=True,
        database_url=SecretStr(sqlite_url(folder)),
        storage_url=f"file:{folder}/storage",
        redis_url=SecretStr(valkey.url),
    )


async def send(store: JobStore, **params: object) -> str:
    """Add a job and send it."""
    job_id = await store.submit(MODEL, **params)
    await JobQueue.of(store.settings).send(await store.job(job_id))
    await store.transitions.mark_sent(job_id, time.time())
    return job_id


def worker_of(crew: JobWorkers, job_id: str) -> psutil.Process:
    """The worker that runs the job, according to the log."""
    (started,) = [line for line in crew.records("job_started") if line["job_id"] == job_id]
    return psutil.Process(started["pid"])


async def test_a_misspelt_setting_is_named_once_by_the_supervisor(tmp_path, valkey):
    """Not by each of its workers as well."""
    tree = copy_tree(tmp_path / "vitrine", [PLUGINS / f"{MODEL}.py"])
    (tree / ".env").write_text("JOB_ATTEMPT=1\nHTTP_PROXY=http://none\n")
    with run_job_workers(tmp_path, root=tree, **variables(tmp_path, valkey)) as crew:
        (line,) = crew.records("setting_misspelt")
        assert (
            line["reason"] == ".env: JOB_ATTEMPT is no setting; JOB_ATTEMPTS is (did you mean it?)"
        )


async def test_jobs_are_run_and_measured(tmp_path, tree, valkey):
    """One port serves the metrics of all workers, of Dramatiq and of the broker."""
    with run_job_workers(tmp_path, root=tree, **variables(tmp_path, valkey)) as crew:
        before = crew.metrics()
        assert before.value("jobs_total", model=MODEL, outcome="succeeded") == 0
        assert before.value("jobs_broker_up") == 1
        assert before.value("server_workers") == before.value("server_workers_expected") == 2
        async with open_job_store(settings_of(tmp_path, valkey)) as store:
            ids = [await send(store) for _ in range(4)]
            for job_id in ids:
                assert (await store.wait_for(job_id, ended)).status == "succeeded"
        wait_until(lambda: crew.metrics().value("jobs_queue_messages") == 0, "the queue is empty")
        after = crew.metrics()
        assert after.value("jobs_total", model=MODEL, outcome="succeeded") == 4
        assert after.value("jobs_wait_seconds_count", model=MODEL) == 4
        assert after.value("jobs_duration_seconds_count", model=MODEL) == 4
        assert after.value("dramatiq_messages_total", queue_name=MODEL) == 4
        started = crew.records("job_started")
        assert {line["request_id"] for line in started} == {"request-1"}
        assert {line["job_id"] for line in started} == set(ids)


async def test_the_job_of_a_killed_worker_runs_again_within_half_a_minute(
    tmp_path, tree, valkey, held
):
    """With the default settings; its row has two attempts."""
    with run_job_workers(tmp_path, root=tree, **variables(tmp_path, valkey)) as crew:
        async with open_job_store(settings_of(tmp_path, valkey)) as store:
            job_id = await send(store)
            await store.wait_for(job_id, begun)
            killed = time.time()
            worker_of(crew, job_id).kill()
            await store.wait_for(job_id, lambda job: job.attempts == 2)
            assert time.time() - killed < RUNNING_AGAIN_SECONDS
            held.unlink()
            assert (await store.wait_for(job_id, ended)).status == "succeeded"
        crew.await_ready(3)
        assert len(crew.workers()) == 2
        assert crew.metrics().value("server_worker_exits_total", reason="killed") == 1


async def test_a_frozen_worker_loses_its_job_and_does_no_harm_when_it_thaws(
    tmp_path, tree, valkey, held
):
    """Its late result is discarded."""
    fast = {"JOB_LEASE_SECONDS": 2, "JOB_SWEEP_SECONDS": 1}
    with run_job_workers(tmp_path, root=tree, **variables(tmp_path, valkey, **fast)) as crew:
        async with open_job_store(settings_of(tmp_path, valkey)) as store:
            job_id = await send(store)
            await store.wait_for(job_id, begun)
            frozen = worker_of(crew, job_id)
            frozen.suspend()
            held.unlink()
            done = await store.wait_for(job_id, ended)
            frozen.resume()
            wait_until(lambda: crew.records("job_lease_lost"), "the frozen worker notices")
            assert (done.status, done.attempts) == ("succeeded", 2)
            assert await store.job(job_id) == done


@pytest.mark.parametrize("whole_group", [False, True], ids=["supervisor", "group"])
async def test_workers_release_their_job_at_sigterm(tmp_path, tree, valkey, held, whole_group):
    """Whether it is sent to the supervisor alone or, again and again, to its process group.

    systemd signals the group; the log stays whole.
    """
    with run_job_workers(tmp_path, root=tree, **variables(tmp_path, valkey)) as crew:
        async with open_job_store(settings_of(tmp_path, valkey)) as store:
            job_id = await send(store)
            await store.wait_for(job_id, begun)
            below = psutil.Process(crew.process.pid).children(recursive=True)
            if whole_group:
                os.killpg(crew.process.pid, signal.SIGTERM)
            assert crew.stop() == 0
            job = await store.job(job_id)
            assert (job.status, job.attempts) == ("accepted", 0)
        assert [process for process in below if process.is_running()] == []
        assert len(crew.records("worker_stopped")) == 2
        assert crew.records("job_given_back")[0]["job_id"] == job_id


@pytest.mark.skipif(not hasattr(signal, "SIGRTMIN"), reason="only Linux signals children")
async def test_workers_end_with_a_supervisor_that_is_killed(tmp_path, tree, valkey):
    """Otherwise two sets of workers would run after its restart."""
    with run_job_workers(tmp_path, root=tree, **variables(tmp_path, valkey)) as crew:
        below = psutil.Process(crew.process.pid).children(recursive=True)
        crew.process.kill()
        _, alive = psutil.wait_procs(below, timeout=30)
        assert alive == []


@pytest.mark.skipif(not hasattr(signal, "SIGRTMIN"), reason="only Linux signals children")
async def test_a_worker_ends_with_its_main_process(tmp_path, tree, valkey, held):
    """Even while it runs a job; the supervisor starts another."""
    with run_job_workers(
        tmp_path, root=tree, **variables(tmp_path, valkey, WORKER_PROCESSES=1)
    ) as crew:
        async with open_job_store(settings_of(tmp_path, valkey)) as store:
            job_id = await send(store)
            await store.wait_for(job_id, begun)
            (worker,) = crew.workers()
            crew.leaders()[0].kill()
            worker.wait(30)
            crew.await_ready(2)
            held.unlink()
            assert (await store.wait_for(job_id, ended)).status == "succeeded"


async def test_a_worker_that_cannot_start_takes_no_message_and_is_tried_again(
    tmp_path, tree, valkey
):
    """Dramatiq would run without what the job needs, and discard its message."""
    given = variables(tmp_path, valkey, STORAGE_URL="s3://", WORKER_PROCESSES=1)
    async with open_job_store(settings_of(tmp_path, valkey)) as store:
        job_id = await send(store)
        with run_job_workers(tmp_path, root=tree, ready=False, **given) as crew:
            wait_until(
                lambda: len(crew.records("worker_not_started")) >= 2,
                "it was started twice",
                START_DEADLINE,
            )
            assert len(crew.records("process_ended")) >= 1
        assert (await store.job(job_id)).status == "accepted"
        assert QueueReader(valkey.client()).waiting_jobs([MODEL]).keys() == {job_id}


async def test_the_metrics_want_the_token_where_there_is_one(tmp_path, tree, valkey):
    """As on the API's port."""
    token = "a token of this test"
    given = variables(tmp_path, valkey, METRICS_TOKEN=token, WORKER_PROCESSES=1)
    with run_job_workers(tmp_path, root=tree, **given) as crew:
        url = f"http://127.0.0.1:{crew.metrics_port}/metrics"
        answers = [
            httpx2.get(url, headers=headers).status_code
            for headers in (
                {},
                {"Authorization": "Bearer other"},
                {"Authorization": "Basic %%%"},
                {"Authorization": f"Bearer {token}"},
            )
        ]
        assert answers == [401, 401, 401, 200]
        assert httpx2.get(url, auth=("any user", token)).status_code == 200
        health = httpx2.get(f"http://127.0.0.1:{crew.metrics_port}/health")
        assert (health.status_code, health.json()) == (200, {"status": "ok"})


async def test_the_metrics_come_back_when_their_process_dies(tmp_path, tree, valkey):
    """The supervisor restarts the metrics server."""
    with run_job_workers(
        tmp_path, root=tree, **variables(tmp_path, valkey, WORKER_PROCESSES=1)
    ) as crew:
        crew.exposition().kill()

        def served() -> bool:
            try:
                return crew.metrics().value("jobs_broker_up") == 1
            except httpx2.TransportError:
                return False

        wait_until(served, "the metrics are served again")


async def test_a_broker_that_dies_and_comes_back_loses_no_job(tmp_path, tree, valkey):
    """Lost messages are sent again, and those that could not be sent."""
    with run_job_workers(tmp_path, root=tree, **variables(tmp_path, valkey)) as crew:
        async with open_job_store(settings_of(tmp_path, valkey)) as store:
            first = [await send(store, seconds=0.5) for _ in range(6)]
            valkey.kill()
            assert crew.metrics().value("jobs_broker_up") == 0
            unsent = await store.submit(MODEL)
            valkey.start()
            for job_id in (*first, unsent):
                job = await store.wait_for(job_id, ended)
                assert job.status == "succeeded"


async def test_two_crews_do_not_share_their_metrics(tmp_path, tree, valkey):
    """The second would delete the metric files of the first."""
    given = variables(tmp_path, valkey, WORKER_PROCESSES=1)
    with (
        run_job_workers(tmp_path, root=tree, **given),
        pytest.raises(RuntimeError, match="running server"),
        run_job_workers(tmp_path, root=tree, **given),
    ):
        pytest.fail("the second has started")
