"""What several of these tests share."""

from pathlib import Path

import pytest

from tests.models.nets import NetModel


@pytest.fixture
def model() -> NetModel:
    model = NetModel()
    model.load()
    return model


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all, as conversion takes seconds."""
    return tmp_path_factory.mktemp("cache")
