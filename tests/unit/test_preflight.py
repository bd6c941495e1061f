"""What fails before a start is said in one line that names the way out."""

import os
import socket

import pytest

from drills.server import free_port
from project import preflight
from project.accounts.credentials import token_keys
from project.errors import ConfigurationError
from project.observability import worker_slots
from tests.conftest import make_settings

KEY = "k" * 32


@pytest.fixture
def taken_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_taken_port_is_named_with_the_next_one(taken_port):
    """Another server is the usual reason why `make run` fails."""
    settings = make_settings(port=taken_port)
    with pytest.raises(ConfigurationError, match=rf"{taken_port} is taken.*PORT={taken_port + 1}"):
        preflight.check(settings)


def test_a_model_without_a_file_is_named_with_those_that_have_one():
    """MODELS is the setting that is edited most."""
    with pytest.raises(
        ConfigurationError,
        match=r"project/models/dog\.py; there are: background_removal, classification",
    ):
        preflight.check(make_settings(models=("dog",)))


def test_a_queue_without_a_model_is_named_with_the_queues_that_there_are():
    """The workers alone read JOB_QUEUES."""
    models, settings = "classification, text_to_image", {"worker_metrics_port": free_port()}
    wrong = make_settings(models=tuple(models.split(", ")), job_queues=("jobs",), **settings)
    with pytest.raises(ConfigurationError, match=f"JOB_QUEUES: no queue jobs; .*{models}"):
        preflight.check(wrong, ["worker"])
    preflight.check(wrong.model_copy(update={"job_queues": ("text_to_image",)}), ["worker"])
    preflight.check(wrong.model_copy(update={"port": free_port()}), ["api"])


@pytest.mark.parametrize(
    ("given", "named"),
    [({}, "TOKEN_KEYS"), ({"token_keys": f"one:{KEY}", "user_document": "br.cpf"}, "DOCUMENT_KEY")],
)
def test_the_keys_of_accounts_are_demanded_of_the_api_alone(given, named):
    """Outside local, where they are generated; a reload and the API itself demand them too."""
    deployed = {"environment": "production", "metrics_port": free_port(), "jobs": False}
    settings = make_settings(auth="keys", port=free_port(), **deployed, **given)
    with pytest.raises(ConfigurationError, match=f"^{named}: missing"):
        preflight.check(settings, ["api"])
    with pytest.raises(ConfigurationError, match=f"^{named}: missing"):
        token_keys(settings)
    complete = settings.model_copy(update={"environment": "local"})
    preflight.check(complete, ["api"])
    preflight.check(settings, ["worker"])
    (fault,) = preflight.check_reload(complete, settings)
    assert fault.startswith(f"{named}: missing")


def test_metrics_of_a_former_run_are_deleted(tmp_path):
    """And nothing else in the folder."""
    (tmp_path / "counter_0.db").write_bytes(b"old")
    (tmp_path / "classification.labels").write_text("cat\n")
    (tmp_path / "notes.txt").write_text("mine")
    preflight.empty_metrics(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} - {worker_slots.IN_USE} == {"notes.txt"}


def test_metrics_of_a_running_server_are_left_alone(tmp_path):
    """A second start by mistake must not tear the first one's numbers out."""
    (tmp_path / "counter_0.db").write_bytes(b"live")
    descriptor = worker_slots.mark_in_use(tmp_path)
    try:
        with pytest.raises(ConfigurationError, match=tmp_path.name):
            preflight.empty_metrics(tmp_path)
        assert (tmp_path / "counter_0.db").exists()
    finally:
        os.close(descriptor)


def test_urls_name_the_port_of_the_metrics():
    """METRICS_PORT, where it is set."""
    urls = preflight.urls(make_settings(host="0.0.0.0", port=80, metrics_port=9090))
    assert urls["page"] == "http://localhost:80"
    assert urls["metrics"] == "http://localhost:9090/metrics"


@pytest.mark.parametrize(
    ("variable", "value"),
    [("STORAGE_URL", "file:"), ("DATABASE_URL", "sqlite+aiosqlite:///:memory:")],
)
def test_a_reload_to_a_store_that_cannot_be_opened_is_refused(monkeypatch, variable, value):
    """The new workers would not start, and Gunicorn would end with them."""
    old = make_settings(jobs=True)
    monkeypatch.setenv("JOBS", "on")
    monkeypatch.setenv(variable, value)
    new = make_settings(jobs=True, **{variable.lower(): value})
    (fault,) = preflight.check_reload(old, new)
    assert fault.startswith(f"{variable}: ")
    assert preflight.check_reload(new, new) == []
