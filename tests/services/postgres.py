"""A PostgreSQL of these tests' own; where it is not installed they are skipped."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from drills import postgres
from drills.postgres import Postgres
from drills.programs import NotInstalled

__all__ = ["Postgres", "program", "run_postgres"]


def program(name: str) -> str:
    """Path of one of PostgreSQL's programs."""
    try:
        return postgres.program(name)
    except NotInstalled as missing:
        pytest.skip(str(missing))


@contextmanager
def run_postgres() -> Iterator[Postgres]:
    """A server while the context is open."""
    program("initdb")
    with postgres.run_postgres() as server:
        yield server
