"""Every deployment target against the product's settings: one test of each fact for all of them."""

import math

import pytest
import yaml

from project.api.jobs.events import COMMENT_SECONDS
from project.jobs.supervisor import FLUSH_SECONDS
from project.resources import USABLE, WORKER_BYTES
from tests.deploy.targets import GIB, TARGETS, Process, Target
from tests.ops import promql
from tests.ops.lint import faults
from tests.ops.tools import ROOT

SCALED = ["Cloud Run", "ECS", "Kubernetes"]
SIZED = ["Compose", *SCALED]  # the VM's units take a share of the machine, and are scraped by name
START_SECONDS = 120  # for the database's migration and the models


@pytest.fixture(scope="module", params=TARGETS)
def target(request) -> Target:
    return TARGETS[request.param]()


@pytest.fixture(params=["api", "worker"])
def process(request, target) -> Process:
    return getattr(target, request.param)


def test_the_environment_is_accepted_in_production_and_a_start_has_time(process):
    settings = process.settings
    assert settings.environment == "production"
    assert settings.jobs
    assert settings.metrics_port not in {None, settings.port}
    assert settings.metrics_token is None  # the port of its own needs none
    assert settings.auth == "keys"
    assert process.start_seconds >= START_SECONDS


def test_api_and_workers_share_database_broker_and_storage(target):
    api, worker = target.api.settings, target.worker.settings
    for name in ("database_url", "broker_url", "storage_url"):
        assert getattr(api, name) == getattr(worker, name), name


def test_the_keys_of_accounts_are_the_apis_alone(target):
    """A job worker decodes what strangers send, and signs no token."""
    api, worker = target.api.settings, target.worker.settings
    assert api.token_secrets
    assert api.missing_keys == ()
    for name in ("token_keys", "document_key", "admin_password", "admin_token"):
        assert getattr(worker, name) is None, name


def test_the_first_start_creates_an_administrator(target):
    """From a password of the secret store."""
    assert target.api.settings.admin_email
    assert target.api.settings.admin_password


def test_processes_stop_by_themselves_before_they_are_killed(target):
    """The API within GRACEFUL_TIMEOUT_SECONDS; workers return their jobs and flush."""
    api = target.api
    assert api.settings.graceful_timeout_seconds + api.margin <= api.stop_seconds
    worker = target.worker
    needed = worker.settings.worker_shutdown_seconds + FLUSH_SECONDS
    assert needed + worker.margin <= worker.stop_seconds


@pytest.mark.parametrize(
    ("target", "margin"), [("Cloud Run", 15), ("ECS", 0), ("Kubernetes", 30)], indirect=["target"]
)
def test_liveness_is_slower_than_gunicorn(target, margin):
    """Gunicorn replaces a hanging worker; a restart would end the other workers' requests too."""
    api = target.api
    assert api.settings.worker_timeout_seconds + margin <= api.liveness_seconds < math.inf


@pytest.mark.parametrize("target", SIZED, indirect=True)
def test_memory_suffices(target):
    """For two Gunicorn workers in the API, and 2 GiB for each process of the job workers."""
    api, worker = target.api, target.worker
    assert USABLE * api.memory >= 2 * WORKER_BYTES
    assert worker.memory >= worker.settings.worker_processes * 2 * GIB


def test_the_proxy_waits_longer_than_the_api(target):
    """The client gets the API's answer, and an event stream is not cut."""
    settings, proxy = target.api.settings, target.proxy
    assert proxy.silence_seconds > settings.prediction_deadline_seconds + settings.queue_seconds
    assert proxy.silence_seconds >= settings.body_timeout_seconds
    assert proxy.silence_seconds > COMMENT_SECONDS
    assert proxy.max_body_bytes > settings.max_body_bytes
    assert proxy.idle_seconds < settings.keepalive_seconds


@pytest.mark.parametrize("target", SIZED, indirect=True)
def test_the_collector_scrapes_the_ports_of_the_settings(target):
    """With the jobs, the interval and the time-out that rules and dashboards expect."""
    shipped = yaml.safe_load((ROOT / "prometheus/prometheus.yml").read_text())
    interval, timeout = (shipped["global"][f"scrape_{name}"] for name in ("interval", "timeout"))
    times = promql.seconds(interval), promql.seconds(timeout)
    assert target.api.scrape == ("vitrine-api", target.api.settings.metrics_port, *times)
    port = target.worker.settings.worker_metrics_port
    assert target.worker.scrape == ("vitrine-worker", port, *times)
    jobs = {job["job_name"] for job in shipped["scrape_configs"]}
    assert {"vitrine-api", "vitrine-worker"} <= jobs


@pytest.mark.parametrize("target", SCALED, indirect=True)
def test_the_database_has_connections_for_every_process(target):
    """Old and new release side by side, each at its highest number of instances."""
    needed, available = target.connections
    assert 0 < needed <= available


@pytest.mark.parametrize("target", SCALED, indirect=True)
def test_one_worker_always_runs(target):
    """With none there is no number to scale by."""
    assert target.min_workers >= 1


@pytest.mark.parametrize("target", ["Cloud Run", "Kubernetes"], indirect=True)
def test_workers_are_scaled_by_the_age_of_the_queue(target):
    """Each worker exposes the same numbers, so their maximum; of the queues the worst one's.

    ECS has alarms: test_ecs_service.py.
    """
    age, *others = target.worker_queries
    assert "jobs_oldest_message_age" in age
    assert str(promql.parse(age).op) == "max"
    for query in (age, *others):
        assert faults(query) == []


def test_workers_are_scaled_by_what_runs_in_all_queues():
    """The sum over queues of what every worker exposes alike."""
    (running,) = TARGETS["Kubernetes"]().worker_queries[1:]
    outer = promql.parse(running)
    assert str(outer.op) == "sum"
    assert str(outer.expr.op) == "max"
    assert outer.expr.modifier.labels == ["queue"]
