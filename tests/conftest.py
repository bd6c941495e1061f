"""Fixtures for all tests: settings that ignore the machine, clients, pictures."""

import io
import signal
from collections.abc import Iterator
from functools import cache
from typing import Any

import httpcore2
import pytest
from fastapi import FastAPI
from hypothesis import settings as hypothesis_settings
from PIL import Image
from starlette.testclient import TestClient

from project.api.factory import create_app
from project.settings import Settings
from tests.fakes import ShadeModel

# Each client of httpx2 would parse the certificates of all authorities: 50 ms of processor time for
# each `httpx2.get`, mostly of servers without TLS. They share what is parsed once.
httpcore2.default_ssl_context = cache(httpcore2.default_ssl_context)
hypothesis_settings.load_profile("ci")  # no deadlines, and the same examples on every machine


def make_settings(**changes: Any) -> Settings:
    """Settings from defaults and these changes alone: no .env, no environment of the machine."""
    fixed = {
        "prometheus_multiproc_dir": None,
        "inference_streams": 1,
        "inference_batch": 8,
        "jobs": False,  # they want a database, a storage and a broker
        "models": ("classification",),  # the others are jobs
    }
    return Settings(_env_file=None, **fixed | changes)  # type: ignore[call-arg]


def picture(kind: str = "PNG", *, size: tuple[int, int] = (32, 32), colour: str = "white") -> bytes:
    """The bytes of a plain picture."""
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer.getvalue()


def pytest_configure() -> None:
    """Have what tests start hear SIGINT, as from a shell.

    A process inherits that it is ignored from whoever ignores it: those that run files side by
    side, and shells that put a command into the background.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def settings() -> Settings:
    return make_settings()


@pytest.fixture
def shade() -> ShadeModel:
    return ShadeModel()


@pytest.fixture
def app(settings: Settings, shade: ShadeModel) -> FastAPI:
    """The application with the fake model in place of real ones."""
    return create_app(settings, [shade])


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="session")
def real_client() -> Iterator[TestClient]:
    """The application as shipped, with its real weights."""
    with TestClient(create_app(make_settings()), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def anyio_backend() -> str:
    """Tests that are coroutines run on asyncio, as the product does."""
    return "asyncio"
