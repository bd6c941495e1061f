"""What jobs stand on goes away and comes back, under the API and workers as shipped."""

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from PIL import Image
from skimage import data

from drills.job_workers import JobWorkers, run_job_workers
from drills.server import Server
from drills.waiting import DEADLINE, wait_until
from tests.services.server import serve
from tests.services.stack import KINDS, Stack, standing

MODEL = "background_removal"
END_DEADLINE = 120.0
SLOW = 10  # iterations: some seconds of work, in as many steps
PROBLEMS = {
    "database": "urn:vitrine:problem:database-unavailable",
    "storage": "urn:vitrine:problem:storage-unavailable",
}


@dataclass
class Plant:
    """An API, its workers, and what both stand on."""

    stack: Stack
    server: Server
    crew: JobWorkers
    body: bytes

    def post(self, iterations: int = 1) -> httpx2.Response:
        """Send a job."""
        url = f"{self.server.url}/v1/models/{MODEL}/jobs?iterations={iterations}"
        headers = {"Content-Type": "image/jpeg"}
        return httpx2.post(url, content=self.body, headers=headers, timeout=DEADLINE)

    def submit(self, iterations: int = 1) -> str:
        """Send a job that is accepted; returns its id."""
        answer = self.post(iterations)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def job(self, job_id: str) -> dict[str, object]:
        """What the API says of a job; nothing while it cannot."""
        answer = httpx2.get(f"{self.server.url}/v1/jobs/{job_id}", timeout=DEADLINE)
        return answer.json() if answer.status_code == 200 else {}

    def until(self, job_id: str, holds: Callable[[dict[str, object]], bool], what: str) -> None:
        """Wait until this holds of a job."""
        wait_until(
            lambda: (job := self.job(job_id)) and holds(job), f"{job_id} {what}", END_DEADLINE
        )

    def finish(self, job_id: str) -> dict[str, object]:
        """Wait for a job to succeed; returns what is said of it then."""
        self.until(job_id, lambda job: job["finished_at"] is not None, "ends")
        job = self.job(job_id)
        assert job["status"] == "succeeded", job
        return job

    def failing(self) -> set[str]:
        """What /ready names."""
        checks = httpx2.get(f"{self.server.url}/ready", timeout=DEADLINE).json()["checks"]
        return {name for name, check in checks.items() if not check["ok"]}


@pytest.fixture(scope="module")
def body() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(data.chelsea()).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def plant(request: pytest.FixtureRequest, tmp_path: Path, body: bytes) -> Iterator[Plant]:
    """One of the kinds, with the API and two workers."""
    with ExitStack() as stack:
        standing_on = stack.enter_context(standing(request.param, tmp_path))
        given = standing_on.variables | {"MODELS": MODEL, "WORKER_NICE": 0}
        server = stack.enter_context(serve(tmp_path, app=None, **given))
        yield Plant(
            standing_on, server, stack.enter_context(run_job_workers(tmp_path, **given)), body
        )


def begun(job: dict[str, object]) -> bool:
    return float(str(job["progress"])) > 0


production = pytest.mark.parametrize("plant", ["production"], indirect=True)
either = pytest.mark.parametrize("plant", KINDS, indirect=True)


@production
def test_a_database_that_goes_while_a_job_runs_costs_neither_it_nor_another(plant):
    """Submitting and asking get a problem that says so; what ran goes on as if nothing had been."""
    assert plant.stack.postgres is not None
    job_id = plant.submit(SLOW)
    plant.until(job_id, begun, "has begun")
    plant.stack.postgres.stop()
    answer = plant.post()
    assert (answer.status_code, answer.json()["type"]) == (503, PROBLEMS["database"])
    assert httpx2.get(f"{plant.server.url}/v1/jobs", timeout=DEADLINE).status_code == 503
    assert plant.failing() == {"database"}
    wait_until(lambda: plant.crew.records("job_lease_not_renewed"), "the worker notices")
    plant.stack.postgres.start()
    plant.finish(job_id)
    plant.finish(plant.submit())
    assert plant.failing() == set()


@production
def test_a_bucket_that_goes_puts_jobs_off_and_costs_them_no_attempt(plant):
    """What waits and what is running; submitting gets a problem that says so."""
    assert plant.stack.s3 is not None
    job_id = plant.submit(SLOW)
    plant.until(job_id, begun, "has begun")
    plant.stack.s3.stop()
    answer = plant.post()
    assert (answer.status_code, answer.json()["type"]) == (503, PROBLEMS["storage"])
    assert plant.failing() == {"storage"}
    wait_until(lambda: plant.crew.records("job_run_put_off"), "the result cannot be kept")
    plant.stack.s3.start()
    assert plant.finish(job_id)["attempts"] == 1
    plant.finish(plant.submit())


@either
def test_a_broker_that_goes_costs_nothing_but_time(plant):
    """Jobs are accepted meanwhile, and run when it is back."""
    running = plant.submit(SLOW)
    plant.until(running, begun, "has begun")
    plant.stack.valkey.kill()
    waiting = [plant.submit() for _ in range(3)]
    plant.finish(running)
    assert {str(plant.job(job_id)["status"]) for job_id in waiting} == {"accepted"}
    plant.stack.valkey.start()
    for job_id in waiting:
        plant.finish(job_id)
