"""The numbers of compose.yaml against each other, and against the product's settings."""

import re

import pytest

from project.jobs.supervisor import FLUSH_SECONDS
from project.resources import USABLE, WORKER_BYTES
from tests.deploy.compose import (
    FOLDER,
    OURS,
    environment,
    memory,
    seconds,
    services,
    size,
    variables,
)
from tests.deploy.environment import settings_of

START_SECONDS = 120  # what a start may take
GIB = 2**30


def settings(name):
    """What a container of ours runs with."""
    return settings_of(environment(name))


def grace(name):
    """Seconds from SIGTERM to SIGKILL."""
    return seconds(services()[name]["stop_grace_period"])


@pytest.mark.parametrize("name", OURS)
def test_the_environment_is_one_that_it_starts_with(name):
    """Each name is a setting, each value is taken."""
    given = settings(name)
    assert given.environment == "production"
    assert given.database_url.get_secret_value().startswith("postgresql+asyncpg://vitrine:")
    assert given.storage_url.startswith("s3://")
    assert given.metrics_port not in {None, given.port}
    assert given.otel_exporter_otlp_endpoint is None


def test_api_and_workers_share_what_they_work_on():
    """Whatever else differs."""
    shared = ("DATABASE_URL", "REDIS_URL", "STORAGE_URL", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID")
    assert [environment("api")[name] for name in shared] == [
        environment("worker")[name] for name in shared
    ]


def test_secrets_are_those_that_the_others_were_given():
    """A password is one word in .env, and the same at both ends."""
    made, all_ = variables(), services()
    given = settings("api")
    assert f":{made['POSTGRES_PASSWORD']}@postgres:5432/" in given.database_url.get_secret_value()
    assert all_["postgres"]["environment"]["POSTGRES_PASSWORD"] == made["POSTGRES_PASSWORD"]
    assert f":{made['VALKEY_PASSWORD']}@valkey:6379/" in given.broker_url
    assert all_["valkey"]["environment"]["VALKEYCLI_AUTH"] == made["VALKEY_PASSWORD"]
    assert all_["valkey-exporter"]["environment"]["REDIS_PASSWORD"] == made["VALKEY_PASSWORD"]
    s3 = all_["s3"]["environment"]
    assert environment("api")["AWS_ACCESS_KEY_ID"] == s3["ROOT_ACCESS_KEY"]
    assert environment("api")["AWS_SECRET_ACCESS_KEY"] == s3["ROOT_SECRET_KEY"]
    assert environment("api")["AWS_REGION"] == s3["VGW_REGION"]


def test_the_api_has_the_time_to_finish():
    """Docker kills later than Gunicorn; the edge, which hands its answers on, no earlier."""
    assert grace("api") >= settings("api").graceful_timeout_seconds + 5
    assert grace("edge") >= settings("api").graceful_timeout_seconds


def test_workers_have_the_time_to_give_their_jobs_back():
    """And to flush."""
    given = settings("worker")
    assert grace("worker") >= given.worker_shutdown_seconds + FLUSH_SECONDS + 3


@pytest.mark.parametrize("name", OURS)
def test_a_start_has_its_time(name):
    """An image that is new, a slow disk: what failed checks meanwhile counts for nothing."""
    assert seconds(services()[name]["healthcheck"]["start_period"]) >= START_SECONDS


def test_memory_holds_what_runs():
    """Two Gunicorn workers in the API, a GiB for each job worker and as much to spare."""
    assert USABLE * memory("api") >= 2 * WORKER_BYTES
    assert memory("worker") >= (settings("worker").worker_processes + 1) * GIB


def test_a_result_is_found_from_both_sides():
    """What is signed is the storage's alias and port, and the same on this machine's loopback."""
    s3 = services()["s3"]
    host, _, port = settings_endpoint().partition(":")
    assert host in s3["networks"]["default"]["aliases"]
    assert host.endswith(".localhost")
    assert s3["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f"--port :{port} " in " ".join(s3["command"])
    assert f":{port}/health" in s3["healthcheck"]["test"][-1]


def settings_endpoint():
    """Host and port of the storage, as they are signed."""
    return environment("api")["AWS_ENDPOINT_URL"].removeprefix("http://")


def test_the_bucket_is_made_where_the_storage_looks():
    """Each start makes it if it is not there."""
    bucket = settings("api").storage_url.removeprefix("s3://")
    command = " ".join(services()["s3"]["command"])
    assert f"mkdir -p /data/{bucket}" in command
    assert "posix /data" in command
    assert "s3:/data" in services()["s3"]["volumes"]


def test_the_broker_forgets_nothing():
    """It refuses what it has no room for, keeps the rest in a file, and has room to write it."""
    command = " ".join(services()["valkey"]["command"])
    assert "--maxmemory-policy noeviction" in command
    assert "--appendonly yes" in command
    assert "--dir /data" in command
    assert "valkey:/data" in services()["valkey"]["volumes"]
    (most,) = re.findall(r"--maxmemory (\d+)mb", command)
    assert memory("valkey") >= 2 * size(f"{most}m")


def test_the_edge_waits_longer_than_the_api_works():
    """A prediction, and the silence between two events of a job; it lets the API judge bodies."""
    text = (FOLDER / "edge/nginx.conf").read_text()
    (patience,) = re.findall(r"proxy_read_timeout (\d+)s", text)
    given = settings("api")
    assert int(patience) > given.prediction_deadline_seconds
    assert int(patience) > given.body_timeout_seconds
    assert "client_max_body_size 0;" in text
    assert f"server api:{given.port} " in text
    assert services()["edge"]["ports"][0].endswith(":8000")
    assert "listen 8000;" in text


def test_the_page_of_metrics_is_not_on_the_edge():
    """It is served on a port of its own, which nothing publishes."""
    given = settings("api")
    text = (FOLDER / "edge/nginx.conf").read_text()
    assert str(given.metrics_port) not in text
    for name in OURS:
        assert "ports" not in services()[name]


def test_the_api_believes_the_edge_which_believes_nobody():
    """Any proxy is believed, so the one that there is overwrites what callers claim."""
    assert settings("api").forwarded_allow_ips == "*"
    text = (FOLDER / "edge/nginx.conf").read_text()
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in text
