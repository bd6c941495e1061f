"""The database, the storage and the broker fail and return, under a real API and real workers."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from drills.job_workers import JobWorkers, run_job_workers
from drills.server import Server
from drills.source_tree import copy_tree
from drills.stack import PLUGINS
from drills.waiting import DEADLINE, wait_until
from tests.conftest import picture
from tests.services.server import serve
from tests.services.stack import KINDS, Stack, standing

MODEL = "drill_job"  # it ends when the test wants it
END_DEADLINE = 120.0
PROBLEMS = {
    "database": "urn:vitrine:problem:database-unavailable",
    "storage": "urn:vitrine:problem:storage-unavailable",
}


@dataclass
class Deployment:
    """An API, its workers and their dependencies. held: while it is there, no job ends."""

    stack: Stack
    server: Server
    crew: JobWorkers
    held: Path

    def post(self) -> httpx2.Response:
        """Submit a job."""
        url = f"{self.server.url}/v1/models/{MODEL}/jobs"
        headers = {"Content-Type": "image/png"}
        return httpx2.post(url, content=picture(), headers=headers, timeout=DEADLINE)

    def begin(self) -> str:
        """Submit a job and wait until it runs; it ends after `release`."""
        self.held.touch()
        job_id = self.submit()
        self.until(job_id, lambda job: float(str(job["progress"])) > 0, "has begun")
        return job_id

    def release(self) -> None:
        """Let jobs end."""
        self.held.unlink()

    def submit(self) -> str:
        """Submit a job that is accepted; returns its id."""
        answer = self.post()
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def job(self, job_id: str) -> dict[str, object]:
        """The view of a job; empty while the API cannot read it."""
        answer = httpx2.get(f"{self.server.url}/v1/jobs/{job_id}", timeout=DEADLINE)
        return answer.json() if answer.status_code == 200 else {}

    def until(self, job_id: str, condition: Callable[[dict[str, object]], bool], what: str) -> None:
        """Wait until a job meets the condition."""
        wait_until(
            lambda: (job := self.job(job_id)) and condition(job), f"{job_id} {what}", END_DEADLINE
        )

    def finish(self, job_id: str) -> dict[str, object]:
        """Wait for a job to succeed; returns its view."""
        self.until(job_id, lambda job: job["finished_at"] is not None, "ends")
        job = self.job(job_id)
        assert job["status"] == "succeeded", job
        return job

    def failing(self) -> set[str]:
        """The failing checks of /ready."""
        checks = httpx2.get(f"{self.server.url}/ready", timeout=DEADLINE).json()["checks"]
        return {name for name, check in checks.items() if not check["ok"]}


@pytest.fixture(scope="module")
def deployment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """A deployment of one kind, with two workers; each test leaves it as it was."""
    folder = tmp_path_factory.mktemp(request.param)
    tree = copy_tree(folder / "tree", [PLUGINS / f"{MODEL}.py"])
    with ExitStack() as stack:
        standing_on = stack.enter_context(standing(request.param, folder))
        given = standing_on.variables | {"MODELS": MODEL, "WORKER_NICE": 0}
        server = stack.enter_context(serve(folder, app=None, root=tree, **given))
        crew = stack.enter_context(run_job_workers(folder, root=tree, **given))
        yield Deployment(standing_on, server, crew, tree / "held")


production = pytest.mark.parametrize("deployment", ["production"], indirect=True)
either = pytest.mark.parametrize("deployment", KINDS, indirect=True)


@production
def test_an_outage_of_the_database_costs_no_job(deployment):
    """Requests get a problem document; a running job goes on."""
    assert deployment.stack.postgres is not None
    job_id = deployment.begin()
    deployment.stack.postgres.stop()
    answer = deployment.post()
    assert (answer.status_code, answer.json()["type"]) == (503, PROBLEMS["database"])
    assert httpx2.get(f"{deployment.server.url}/v1/jobs", timeout=DEADLINE).status_code == 503
    assert deployment.failing() == {"database"}
    wait_until(lambda: deployment.crew.records("job_lease_not_renewed"), "the worker notices")
    deployment.stack.postgres.start()
    deployment.release()
    deployment.finish(job_id)
    deployment.finish(deployment.submit())
    assert deployment.failing() == set()


@production
def test_an_outage_of_the_bucket_delays_jobs_and_costs_no_attempt(deployment):
    """Submissions get a problem document."""
    assert deployment.stack.s3 is not None
    job_id = deployment.begin()
    put_off = len(deployment.crew.records("job_run_put_off"))
    deployment.stack.s3.stop()
    answer = deployment.post()
    assert (answer.status_code, answer.json()["type"]) == (503, PROBLEMS["storage"])
    assert deployment.failing() == {"storage"}
    deployment.release()
    wait_until(
        lambda: len(deployment.crew.records("job_run_put_off")) > put_off,
        "the result cannot be stored",
    )
    deployment.stack.s3.start()
    assert deployment.finish(job_id)["attempts"] == 1
    deployment.finish(deployment.submit())


@either
def test_an_outage_of_the_broker_delays_jobs(deployment):
    """They are accepted meanwhile, and run when it is back."""
    running = deployment.begin()
    deployment.stack.valkey.kill()
    waiting = [deployment.submit() for _ in range(3)]
    deployment.release()
    deployment.finish(running)
    assert {str(deployment.job(job_id)["status"]) for job_id in waiting} == {"accepted"}
    deployment.stack.valkey.start()
    for job_id in waiting:
        deployment.finish(job_id)
