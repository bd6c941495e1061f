"""Submitting jobs when the database fails after the images are stored, or the broker hangs."""

import asyncio
import json

import pytest

from project.api.jobs.submission import JobRequest, JobSubmission, SubmissionBounds, job_request
from project.api.requests.reader import ModelRequest
from project.db.engine import open_database
from project.db.job_queries import JobQueries
from project.db.job_transitions import JobTransitions
from project.db.records import Job, NewJob
from project.errors import DatabaseUnavailable
from project.inference.images.decoding import ImageLimits
from project.observability.logging import configure_logging
from project.settings import Settings
from project.storage import make_storage
from tests.conftest import picture
from tests.database import Jobs, create_tables
from tests.fakes import FakeQueue, ShadeModel, ShadeParams
from tests.job_api import job_settings

pytestmark = pytest.mark.anyio


def request_of(settings: Settings, key: str | None = None) -> JobRequest:
    """A valid request with one image."""
    limits = ImageLimits.of(settings)
    asked = ModelRequest({"image": picture()}, ShadeParams())
    return job_request(ShadeModel(), limits, asked, key)


class BrokenTransitions(JobTransitions):
    """Loses the connection before the row is added, or before the answer arrives."""

    def __init__(self, engine, *, added: bool) -> None:
        super().__init__(engine)
        self._added = added

    async def add(self, new: NewJob) -> tuple[Job, bool]:
        if self._added:
            await super().add(new)
        raise DatabaseUnavailable("the database does not answer; try again")


class BrokenQueries(JobQueries):
    """Finds no job by its id while the connection is lost."""

    async def get(self, job_id: str) -> Job | None:
        raise DatabaseUnavailable("the database does not answer; try again")


@pytest.fixture
async def submit(tmp_path):
    """Submits over a broken connection; returns the job or the error, and what is left of it."""
    settings = job_settings(tmp_path)
    configure_logging(settings)
    await create_tables(settings)

    async def run(*, added: bool, reconnects: bool):
        async with open_database(settings) as engine:
            queries = JobQueries(engine) if reconnects else BrokenQueries(engine)
            transitions = BrokenTransitions(engine, added=added)
            storage, queue = make_storage(settings), FakeQueue()
            submission = JobSubmission(settings, queries, transitions, storage, queue)
            try:
                outcome = await submission.submit(request_of(settings, "a-key"))
            except DatabaseUnavailable as error:
                outcome = error
            rows = await queries.page(10)
            files = [path for path in (tmp_path / "storage").rglob("image") if path.is_file()]
            await submission.close()
            return outcome, rows, files, queue.sent

    return run


async def test_a_row_that_was_not_added_leaves_no_file(submit):
    """The client is told to try again, and nothing of the job is left."""
    outcome, rows, files, sent = await submit(added=False, reconnects=True)
    assert isinstance(outcome, DatabaseUnavailable)
    assert (rows, files, sent) == ([], [], [])


async def test_a_row_whose_answer_was_lost_is_a_job(submit):
    """A worker would run it in any case, so it keeps its files and the client gets it."""
    outcome, rows, files, sent = await submit(added=True, reconnects=True)
    job, is_new = outcome
    assert is_new
    assert [row.id for row in rows] == sent == [job.id]
    assert len(files) == 1


@pytest.mark.parametrize("added", [True, False])
async def test_files_of_a_row_that_may_exist_are_left_and_logged(submit, capsys, added):
    """An orphaned file costs some space; a job without its files could never run."""
    outcome, rows, files, sent = await submit(added=added, reconnects=False)
    assert isinstance(outcome, DatabaseUnavailable)
    assert (len(rows), len(files), sent) == (int(added), 1, [])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (line,) = [line for line in lines if line["message"] == "job_inputs_left"]
    assert line["keys"].endswith("/inputs/image")


class HangingQueue(FakeQueue):
    """A broker that takes messages and does not answer."""

    async def send(self, job: Job, delay_seconds: float = 0) -> None:
        await super().send(job, delay_seconds)
        await asyncio.Event().wait()


async def test_a_broker_that_hangs_gets_no_message_for_a_while(tmp_path):
    """The jobs are added all the same, and their submission does not wait."""
    settings = job_settings(tmp_path)
    await create_tables(settings)
    async with open_database(settings) as engine:
        jobs, queue = Jobs.of(engine), HangingQueue()
        bounds = SubmissionBounds(send=0.01, backoff=3600)
        storage = make_storage(settings)
        submission = JobSubmission(settings, jobs.queries, jobs.transitions, storage, queue, bounds)
        ids = [(await submission.submit(request_of(settings)))[0].id for _ in range(3)]
        assert queue.sent == ids[:1]
        rows = await jobs.queries.page(10)
        assert {job.id for job in rows} == set(ids)
        assert {job.sent_at for job in rows} == {None}
        await submission.close()
