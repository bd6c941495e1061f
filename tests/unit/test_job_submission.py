"""Taking jobs in where the database fails after the files are kept, or the broker hangs."""

import asyncio
import json

import pytest

from project.api.jobs import submission
from project.api.jobs.request import examine
from project.api.jobs.submission import JobSubmission
from project.db.engine import open_database
from project.db.job_transitions import Job, JobTransitions, NewJob
from project.db.migrate import upgrade
from project.errors import DatabaseUnavailable
from project.inference.images.decoding import ImageLimits
from project.models.base import Params
from project.observability.logging import configure_logging
from project.storage import make_storage
from tests.conftest import picture
from tests.fakes import FakeSender, ShadeModel, ShadeParams
from tests.job_api import job_settings

pytestmark = pytest.mark.anyio
GONE = "the database does not answer; try again"


class BadLine(JobTransitions):
    """A database whose line breaks: before the row is written, or before its answer is back."""

    def __init__(self, engine, *, written: bool, comes_back: bool) -> None:
        super().__init__(engine)
        self._written = written
        self._comes_back = comes_back

    async def add(self, new: NewJob) -> tuple[Job, bool]:
        if self._written:
            await super().add(new)
        raise DatabaseUnavailable(GONE)

    async def get(self, job_id: str) -> Job | None:
        if not self._comes_back:
            raise DatabaseUnavailable(GONE)
        return await super().get(job_id)


@pytest.fixture
async def take_in(tmp_path):
    """Takes a job in over such a line; returns the job or the error, and what there is then."""
    settings = job_settings(tmp_path)
    configure_logging(settings)
    await upgrade(settings)

    async def go(**line):
        async with open_database(settings) as engine:
            sender = FakeSender()
            jobs = BadLine(engine, **line)
            intake = JobSubmission(settings, jobs, make_storage(settings), sender)
            limits = ImageLimits.of(settings)
            params: Params = ShadeParams()
            order = examine(ShadeModel(), limits, {"image": picture()}, params, "a-key")
            try:
                outcome = await intake.accept(order)
            except DatabaseUnavailable as error:
                outcome = error
            rows = await JobTransitions(engine).page(10)
            files = [path for path in (tmp_path / "storage").rglob("image") if path.is_file()]
            await intake.close()
            return outcome, rows, files, sender.sent

    return go


async def test_a_row_that_was_not_written_leaves_no_file(take_in):
    """The caller is told to try again, and nothing is there of it."""
    outcome, rows, files, sent = await take_in(written=False, comes_back=True)
    assert isinstance(outcome, DatabaseUnavailable)
    assert (rows, files, sent) == ([], [], [])


async def test_a_row_whose_answer_was_lost_is_a_job_like_any_other(take_in):
    """It would be run in any case: its files stay, and its caller is told of it."""
    outcome, rows, files, sent = await take_in(written=True, comes_back=True)
    job, is_new = outcome
    assert is_new
    assert [row.id for row in rows] == sent == [job.id]
    assert len(files) == 1


@pytest.mark.parametrize("written", [True, False])
async def test_files_of_a_row_of_which_nothing_is_known_are_left_and_named(
    take_in, capsys, written
):
    """A file too many costs some space; a job without its files could never run."""
    outcome, rows, files, sent = await take_in(written=written, comes_back=False)
    assert isinstance(outcome, DatabaseUnavailable)
    assert (len(rows), len(files), sent) == (int(written), 1, [])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (line,) = [line for line in lines if line["message"] == "job_inputs_left"]
    assert line["keys"].endswith("/inputs/image")


class HangingSender(FakeSender):
    """A broker that takes messages and says nothing."""

    async def send(self, job: Job, delay_seconds: float = 0) -> None:
        self.sent.append(job.id)
        await asyncio.Event().wait()


async def test_a_broker_that_hangs_is_left_alone_for_a_while(tmp_path, monkeypatch):
    """Jobs are kept all the same, and who sends them holds up nobody."""
    settings = job_settings(tmp_path)
    await upgrade(settings)
    async with open_database(settings) as engine:
        jobs, sender = JobTransitions(engine), HangingSender()
        intake = JobSubmission(settings, jobs, make_storage(settings), sender, send_seconds=0.01)
        limits = ImageLimits.of(settings)
        order = examine(ShadeModel(), limits, {"image": picture()}, ShadeParams(), None)
        monkeypatch.setattr(submission, "ALONE_SECONDS", 3600)
        ids = [(await intake.accept(order))[0].id for _ in range(3)]
        assert sender.sent == ids[:1]
        assert {job.id for job in await jobs.page(10)} == set(ids)
        assert {job.sent_at for job in await jobs.page(10)} == {None}
        await intake.close()
