"""The migrations on SQLite and PostgreSQL: up, down, the same as the tables, and many at once."""

import asyncio
import multiprocessing
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from drills.server import ROOT, environment
from drills.waiting import DEADLINE
from project.db.engine import open_database
from project.db.migrate import alembic_config, migrating, upgrade, upgrade_when_available
from project.db.tables import Base
from project.errors import DatabaseUnavailable
from project.settings import Settings
from tests.database import Jobs, added, database_settings, run_jobs, sqlite_url
from tests.services.postgres import Postgres, run_postgres

AT_ONCE = 8
TOUCH = text("UPDATE jobs SET progress = 0")


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with run_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Of a database without tables."""
    if request.param == "sqlite":
        return database_settings(sqlite_url(tmp_path))
    return database_settings(request.getfixturevalue("postgres").new_database())


def on_connection(settings: Settings, work):
    """What a function gives that takes a connection."""

    async def go():
        async with migrating(settings) as connection:
            return await connection.run_sync(work)

    return asyncio.run(go())


def tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


def upgrade_process(url: str) -> None:
    asyncio.run(upgrade(database_settings(url)))


def test_up_and_down_and_up_again(settings: Settings):
    """Down leaves nothing but Alembic's own table; up twice changes nothing."""
    asyncio.run(upgrade(settings))
    run_jobs(settings, added)
    assert on_connection(settings, tables) == {"alembic_version", *Base.metadata.tables}
    on_connection(settings, lambda given: command.downgrade(alembic_config(given), "base"))
    assert on_connection(settings, tables) == {"alembic_version"}
    run_jobs(settings, added)


def test_the_migrations_make_what_the_tables_say(settings: Settings):
    """Or a migration is missing: `alembic revision --autogenerate` writes a draft of it."""

    def differences(connection: Connection) -> list:
        options = {"compare_type": True, "compare_server_default": True}
        return compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)

    asyncio.run(upgrade(settings))
    assert on_connection(settings, differences) == []
    on_connection(settings, lambda given: given.execute(text("DROP INDEX ix_jobs_files")))
    assert [difference[0] for difference in on_connection(settings, differences)] == ["add_index"]


def test_the_conditions_of_indexes_are_in_the_database(settings: Settings):
    """Alembic does not compare them, and without them they are large and of little use."""

    def conditions(connection: Connection) -> dict[str, str]:
        name = connection.dialect.name
        indexes = inspect(connection).get_indexes("jobs")
        found = {one["name"]: one.get("dialect_options", {}) for one in indexes}
        return {
            index: str(options[f"{name}_where"])
            for index, options in found.items()
            if f"{name}_where" in options
        }

    asyncio.run(upgrade(settings))
    found = on_connection(settings, conditions)
    assert set(found) == {"ix_jobs_active", "ix_jobs_files", "ix_jobs_charged"}
    assert "accepted" in found["ix_jobs_active"]
    assert "files_deleted_at IS NULL" in found["ix_jobs_files"]
    assert "quota_month IS NOT NULL" in found["ix_jobs_charged"]


def test_many_may_start_at_once(settings: Settings):
    """Processes and tasks: one makes the tables, the others wait for it."""
    url = settings.database_url.get_secret_value()
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(AT_ONCE // 2, spawn) as pool:
        futures = [pool.submit(upgrade_process, url) for _ in range(AT_ONCE)]
        for future in futures:
            future.result(DEADLINE)

    async def many() -> None:
        await asyncio.gather(*(upgrade(settings) for _ in range(AT_ONCE)))

    on_connection(settings, lambda given: command.downgrade(alembic_config(given), "base"))
    asyncio.run(many())
    run_jobs(settings, added)


def test_a_migration_that_fails_leaves_nothing_behind(settings: Settings):
    """Also on SQLite, which by itself would keep the first half."""

    def half(connection: Connection) -> None:
        command.upgrade(alembic_config(connection), "head")
        raise RuntimeError("the power is out")

    with pytest.raises(RuntimeError, match="power"):
        on_connection(settings, half)
    assert on_connection(settings, tables) == set()


def test_an_older_release_starts_on_a_newer_database(settings: Settings):
    """Or no deployment could be taken back."""
    asyncio.run(upgrade(settings))
    newer = text("UPDATE alembic_version SET version_num = '9999'")
    on_connection(settings, lambda given: given.execute(newer))
    run_jobs(settings, added)


def test_a_migration_waits_for_jobs_that_are_written(settings: Settings):
    """And they for it: nobody is turned away."""

    async def test() -> None:
        await upgrade(settings)
        async with open_database(settings) as engine:
            jobs = Jobs.of(engine)
            await asyncio.gather(*(added(jobs) for _ in range(50)), upgrade(settings))
            assert await jobs.count("accepted") == 50

    asyncio.run(test())


def index_states(connection: Connection) -> dict[str, bool]:
    """Index of jobs → whether it is valid."""
    found = connection.execute(
        text(
            "SELECT relname, indisvalid FROM pg_index JOIN pg_class ON oid = indexrelid"
            " WHERE indrelid = 'jobs'::regclass"
        )
    )
    return {row.relname: row.indisvalid for row in found}


def at_the_first_release(postgres: Postgres) -> Settings:
    settings = database_settings(postgres.new_database())
    on_connection(settings, lambda given: command.upgrade(alembic_config(given), "0001"))
    return settings


def test_an_index_is_built_while_jobs_are_written(postgres: Postgres):
    """It waits for a transaction that has written, and no write waits for it."""
    settings = at_the_first_release(postgres)
    asyncio.run(upgrade(settings))
    activity = text("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONC%'")

    async def begun(engine: AsyncEngine) -> None:
        while True:
            async with engine.begin() as other:
                if await other.scalar(activity):
                    return
            await asyncio.sleep(0.01)

    async def test() -> None:
        async with open_database(settings) as engine:
            async with engine.begin() as given:
                await given.execute(text("DROP INDEX ix_jobs_user"))
            async with engine.connect() as writer:
                await writer.execute(TOUCH)
                building = asyncio.create_task(upgrade(settings))
                async with asyncio.timeout(DEADLINE):
                    await begun(engine)
                async with engine.begin() as other:
                    await other.execute(TOUCH)
                assert not building.done()
                await writer.rollback()
            await building

    asyncio.run(test())
    assert all(on_connection(settings, index_states).values())


def test_a_half_built_index_is_built_anew(postgres: Postgres):
    """As an interrupted start leaves it: there, and of no use."""
    settings = at_the_first_release(postgres)
    asyncio.run(upgrade(settings))
    broken = text(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_jobs_charged'::regclass"
    )
    url = settings.database_url.get_secret_value()

    async def spoil() -> None:
        async with open_database(database_settings(url)) as engine, engine.begin() as given:
            await given.execute(broken)
            assert not (await given.run_sync(index_states))["ix_jobs_charged"]

    asyncio.run(spoil())
    asyncio.run(upgrade(settings))
    states = on_connection(settings, index_states)
    assert states["ix_jobs_charged"]
    assert states["ix_jobs_user"]


def test_a_table_in_use_delays_a_migration_and_not_its_writers(postgres: Postgres):
    """It gives up after two seconds, and begins again."""
    settings = at_the_first_release(postgres)

    async def test() -> None:
        async with open_database(settings) as engine:
            async with engine.connect() as writer:
                await writer.execute(TOUCH)
                with pytest.raises(DatabaseUnavailable):
                    await upgrade(settings)
            starting = asyncio.create_task(upgrade_when_available(settings))
            async with engine.connect() as writer:
                await writer.execute(TOUCH)
                await asyncio.wait([starting], timeout=3)
                assert not starting.done()
            await starting

    asyncio.run(test())
    assert all(on_connection(settings, index_states).values())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [(["upgrade", "head"], ""), (["check"], "No new upgrade"), (["current"], "0002 (head)")],
)
def test_alembics_own_commands(tmp_path: Path, arguments, expected):
    """They read the same settings as we do."""
    url = sqlite_url(tmp_path)
    asyncio.run(upgrade(database_settings(url)))
    assert expected in alembic(url, tmp_path, *arguments)


def test_the_migrations_can_be_printed(tmp_path: Path):
    """For those whose database only an administrator may change."""
    printed = alembic(
        "postgresql+asyncpg://nobody@nowhere/name", tmp_path, "upgrade", "head", "--sql"
    )
    assert "CREATE TABLE jobs" in printed
    assert "CREATE INDEX CONCURRENTLY ix_jobs_user" in printed
    assert "WHERE status IN ('accepted', 'running')" in printed


def alembic(url: str, folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=ROOT,
        env=environment(folder, DATABASE_URL=url),
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
