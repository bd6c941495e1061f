"""What several of these tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from drills.valkey import Valkey, serving_valkey


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A broker of this test's own."""
    with serving_valkey(tmp_path / "valkey") as server:
        yield server
