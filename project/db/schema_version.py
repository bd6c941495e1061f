"""Checks at every start, without Alembic, whether a SQLite database has this release's schema.

It stands alone because SQLAlchemy and Alembic are slow to import, and a start rarely needs them.
"""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

from project.settings import Settings

VERSIONS = Path(__file__).parent / "migrations" / "versions"


def is_current(settings: Settings) -> bool:
    """Whether there is nothing to migrate; False for every other database, which Alembic checks."""
    url = urlsplit(settings.database_url.get_secret_value())
    if not url.scheme.startswith("sqlite"):
        return False
    path = Path(url.path.removeprefix("/"))
    newest = max(file.stem.partition("_")[0] for file in VERSIONS.glob("[0-9]*_*.py"))
    with suppress(sqlite3.Error):  # there is no file, or no table of Alembic's yet
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            return bool(found and found[0] == newest)
    return False
