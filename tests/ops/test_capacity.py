"""docs/capacity.md: what it names is there, its figures fit each other, its SQL does as it says."""

import asyncio
import re
import time

import pytest
from sqlalchemy import text

from drills.hosts.host import SETTINGS
from project.db.engine import CONNECTIONS, open_database
from project.db.migrate import upgrade
from project.db.records import new_id
from project.jobs.sweep import MAX_CLEARED
from project.observability.metrics import CATALOGUE
from project.settings import Settings
from tests.database import RESULT, Jobs, added, database_settings
from tests.ops import pages
from tests.ops.pages import Page
from tests.ops.tools import ROOT
from tests.services.postgres import run_postgres

PAGE = Page(ROOT / "docs" / "capacity.md")
CONSTANTS = {"CONNECTIONS", "POLL_MILLISECONDS"}  # of ours, that it says to change
DEFAULTS = Settings(_env_file=None)
API_WORKERS = 2  # of a container with two processors
STEPS = (1, 10, 100, 1000)
DAY = 86_400
UNITS = {"GB": 1e9, "TB": 1e12, "%": 0.01}


def row(head: str) -> list[str]:
    """The cells of the row that begins so."""
    (line,) = re.findall(rf"^\| {re.escape(head)}.*$", PAGE.text, re.MULTILINE)
    return [cell.strip(" *") for cell in line.strip("|").split("|")][1:]


def figure(cell: str) -> float:
    """The first number of a cell, in its unit."""
    number, unit = re.fullmatch(r"([\d.,]+) ?(\w+|%)?.*", cell).groups()
    return float(number.replace(",", "")) * UNITS.get(unit, 1)


def test_it_names_settings_constants_and_files_that_there_are():
    """Advice to turn a knob that is gone is worse than none."""
    assert PAGE.settings() - CONSTANTS <= pages.SETTINGS
    for name in CONSTANTS:
        assert re.search(rf"^{name}\b|, {name}\b|^{name}, ", pages.source(), re.MULTILINE), name
    for path in re.findall(r"`((?:\w+/)+\w+\.py)`", PAGE.text):
        assert any((folder / path).is_file() for folder in (ROOT, ROOT / "project")), path
    known = {spec.name for spec in CATALOGUE}
    for name in re.findall(r"`((?:jobs|http)_[a-z_]+)", PAGE.text):
        assert name in known | pages.events(), name
    for link in PAGE.links():
        assert (PAGE.path.parent / link).exists(), link


@pytest.mark.parametrize(
    "head",
    [
        "uploads through the balancer",
        "connections to PostgreSQL",
        "SQL commands/s",
        "seconds of work",
        "rows, GB a day",
        "S3: PUT, LIST and DELETE/s",
        "S3: kept",
        "series in Prometheus",
        "samples on its disk",
        "logs, GB a day",
    ],
)
def test_a_row_of_the_table_grows_as_the_load_does(head):
    """Each column is ten of the one before, within what rounding costs; seconds are a tenth."""
    found = [figure(cell) for cell in row(head)[: len(STEPS)]]
    power = -1 if head == "seconds of work" else 1
    for value, step in zip(found, STEPS, strict=True):
        assert value == pytest.approx(found[2] * (step / STEPS[2]) ** power, rel=0.1)


def test_the_first_column_follows_from_what_was_measured():
    """So whoever measures again sees which cells to change."""
    jobs = figure(row("predictions/s, jobs/s")[0].split(", ")[1])
    workers = DEFAULTS.worker_processes
    assert figure(row("connections to PostgreSQL")[0]) == CONNECTIONS * (API_WORKERS + workers)
    assert figure(row("seconds of work")[0]) == DEFAULTS.job_limit / jobs
    statements, around = row("PostgreSQL: statements"), row("PostgreSQL: BEGIN")
    commands = [figure(own) + figure(more) for own, more in zip(statements, around, strict=True)]
    _, job, _, ready, scrape, idle = commands
    expected = jobs * job + workers * idle + ready / 5 + scrape * 2 / 15
    assert figure(row("SQL commands/s")[0]) == pytest.approx(expected, rel=0.05)
    series = sum(map(figure, row("series of an API container")[0].split(", ")))
    assert figure(row("series in Prometheus")[0]) == series
    kept = figure(row("S3: bytes kept")[1]) * 1000 * jobs * DEFAULTS.job_retention_seconds
    assert figure(row("S3: kept")[0]) == pytest.approx(kept, rel=0.05)
    rows = figure(row("the row of an ended job")[0]) * 1000 * jobs * DAY / 1e9
    assert figure(row("rows, GB a day")[0]) == pytest.approx(rows, rel=0.1)


def test_it_says_what_the_drill_and_the_sweep_are_set_to():
    """The seconds that it tells of are of these."""
    for name in ("JOB_LEASE_SECONDS", "JOB_SWEEP_SECONDS"):
        assert f"`{name}={SETTINGS[name]}`" in PAGE.text
    assert MAX_CLEARED == 20  # "twenty jobs' files a sweep"
    assert "twenty jobs' files a sweep" in PAGE.text


def test_its_sql_deletes_old_jobs_that_have_ended_and_no_others():
    """Neither what waits, however long, nor what ended of late."""
    (statement,) = PAGE.blocks("sql")
    now = time.time()
    old = now - 31 * DAY

    async def left(url: str) -> tuple[set[str], set[str]]:
        await upgrade(database_settings(url))
        async with open_database(database_settings(url)) as engine:
            jobs = Jobs.of(engine)
            ended, waiting, recent = [
                await added(jobs, when, id=new_id(when)) for when in (old, old, now - 29 * DAY)
            ]
            for job in (ended, recent):
                await jobs.transitions.claim(job.id, "one", now, 60)
                assert await jobs.transitions.succeed(job.id, "one", now, RESULT, {})
            async with engine.begin() as connection:
                await connection.execute(text(statement.replace("::", "\\:\\:")))
            return {job.id for job in await jobs.queries.page(10)}, {waiting.id, recent.id}

    with run_postgres() as server:
        there, expected = asyncio.run(left(server.new_database()))
    assert there == expected
