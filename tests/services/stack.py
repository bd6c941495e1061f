"""What jobs stand on, as embedded for `make run` and as in production; all of it real."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from drills.s3 import BUCKET, S3Server, serving_s3
from drills.valkey import Valkey, serving_valkey
from tests.database import create_tables, database_settings, sqlite_url
from tests.services.postgres import Postgres, run_postgres

KINDS = ("embedded", "production")


@dataclass
class Stack:
    """A database, a storage and a broker. variables: the environment that names them."""

    variables: dict[str, object]
    valkey: Valkey
    postgres: Postgres | None = None
    s3: S3Server | None = None

    @property
    def database_url(self) -> str:
        return str(self.variables["DATABASE_URL"])


def migrate(url: str) -> None:
    """Create the tables, which takes the server that starts first a second of processor time."""
    with ThreadPoolExecutor(1) as pool:  # Playwright's event loop may run in this thread
        pool.submit(asyncio.run, create_tables(database_settings(url))).result()


@contextmanager
def standing(kind: str, folder: Path) -> Iterator[Stack]:
    """All of it, while the context is open."""
    with ExitStack() as stack:
        valkey = stack.enter_context(serving_valkey(folder / "valkey"))
        common: dict[str, object] = {"JOBS": "on", "REDIS_URL": valkey.url}
        if kind == "embedded":
            migrate(sqlite_url(folder))
            local = {
                "DATABASE_URL": sqlite_url(folder),
                "STORAGE_URL": f"file:{folder}/storage",
                "STORAGE_SECRET": "the secret of this test",
            }
            yield Stack(common | local, valkey)
            return
        postgres = stack.enter_context(run_postgres())
        s3 = stack.enter_context(serving_s3(folder / "s3"))
        remote = {
            "DATABASE_URL": postgres.new_database(),
            "STORAGE_URL": f"s3://{BUCKET}/jobs",
            **s3.variables,
        }
        yield Stack(common | remote, valkey, postgres, s3)
