"""A PostgreSQL of these tests' own; where it is not installed they are skipped."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from drills import postgres
from drills.postgres import Postgres
from drills.programs import NotInstalled

__all__ = ["Postgres", "run_postgres"]


@contextmanager
def run_postgres() -> Iterator[Postgres]:
    """A server for the length of the body."""
    try:
        postgres.program("initdb")
    except NotInstalled as missing:
        pytest.skip(str(missing))
    with postgres.run_postgres() as server:
        yield server
