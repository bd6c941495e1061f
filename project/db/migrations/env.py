"""The environment of Alembic's migrations, for its commands and for project/db/migrate.py."""

import asyncio

from alembic import context
from sqlalchemy import Connection

from project.db.engine import read_url
from project.db.migrate import migrating
from project.db.tables import Base
from project.settings.loading import load_settings


def run(connection: Connection) -> None:
    """Run the migrations on a connection that is in a transaction."""
    # SQLite can alter little of a table in place, so a batch creates it anew.
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
    context.run_migrations()


async def run_from_settings() -> None:
    """Run the migrations on the database of the settings."""
    async with migrating(load_settings()) as connection:
        await connection.run_sync(run)


def print_sql() -> None:
    """Print the migrations as SQL, for `--sql`."""
    dialect = read_url(load_settings()).get_backend_name()
    context.configure(dialect_name=dialect, target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


passed = context.config.attributes.get("connection")
if context.is_offline_mode():
    print_sql()
elif passed is None:
    asyncio.run(run_from_settings())
else:
    run(passed)
