"""Database triggers that record every final status of a job, so that none is missed."""

from sqlalchemy import text

from project.db.engine import is_sqlite, open_database
from project.settings import Settings

ENDED = "NEW.status IN ('succeeded', 'failed', 'cancelled') AND OLD.status <> NEW.status"
TABLE = "CREATE TABLE ends (id VARCHAR NOT NULL, status VARCHAR NOT NULL)"
NOTE = "INSERT INTO ends VALUES (NEW.id, NEW.status);"
SQLITE = [f"CREATE TRIGGER ends AFTER UPDATE ON jobs WHEN {ENDED} BEGIN {NOTE} END"]
FUNCTION = f"""
CREATE FUNCTION note_end() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN {NOTE} RETURN NEW; END $$
"""
TRIGGER = f"""
CREATE TRIGGER ends AFTER UPDATE ON jobs
FOR EACH ROW WHEN ({ENDED}) EXECUTE FUNCTION note_end()
"""


def _settings(url: str) -> Settings:
    """Settings with this database."""
    return Settings(_env_file=None, database_url=url)


async def watch_ends(url: str) -> None:
    """Record every end from now on."""
    async with open_database(_settings(url)) as engine, engine.begin() as connection:
        for statement in [TABLE, *(SQLITE if is_sqlite(engine.url) else [FUNCTION, TRIGGER])]:
            await connection.execute(text(statement))


async def ends(url: str) -> list[tuple[str, str]]:
    """The id and the status of each end."""
    async with open_database(_settings(url)) as engine, engine.connect() as connection:
        rows = await connection.execute(text("SELECT id, status FROM ends"))
        return [(row[0], row[1]) for row in rows]
