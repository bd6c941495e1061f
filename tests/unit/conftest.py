"""Fixtures of the unit tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from project.db.engine import open_database
from tests.database import Jobs, create_tables, database_settings, sqlite_url


@pytest.fixture
async def jobs(tmp_path: Path) -> AsyncIterator[Jobs]:
    """The jobs of a new SQLite database."""
    settings = database_settings(sqlite_url(tmp_path))
    await create_tables(settings)
    async with open_database(settings) as engine:
        yield Jobs.of(engine)
