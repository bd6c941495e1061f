"""Cloud Run's manifests: what the product reads of them, and numbers that must fit each other."""

import json
import re

import pytest

from project.db.engine import CONNECTIONS, read_url
from project.jobs.supervisor import FLUSH_SECONDS
from tests.deploy.cloudrun import (
    CLOUDRUN,
    KILL_SECONDS,
    SECRETS,
    VALUES,
    bash,
    container,
    read,
    rendered,
    settings,
)

SERVICE = rendered("service.yaml")
POOL = rendered("worker-pool.yaml")
API = container(SERVICE, "api")
WORKER = container(POOL, "worker")
LIMIT_OF_BODIES = 32 * 2**20  # of HTTP/1 on Cloud Run
LONGEST_START = 240  # seconds that a startup probe may take there
LONGEST_REQUEST = 3600
REQUESTS_PER_PROCESSOR = 100  # predictions in a second, of the shipped classifier


def annotations(manifest):
    return manifest["spec"]["template"]["metadata"]["annotations"]


def patience(probe):
    return probe["periodSeconds"] * probe["failureThreshold"]


@pytest.mark.parametrize("of", [API, WORKER], ids=["api", "worker"])
def test_the_product_takes_what_the_manifest_sets(of):
    """Every name is a setting, every value one that it takes, for production."""
    taken = settings(of)
    assert taken.environment == "production"
    assert taken.jobs
    assert taken.storage_url == "gs://some-project-vitrine"
    assert (taken.log_cloud, taken.google_cloud_project) == ("gcp", VALUES["PROJECT_ID"])


def test_without_jobs_the_api_needs_neither_database_nor_broker_nor_network():
    """One setting, for a model that takes none, and for the day when the database is away."""
    manifest = rendered("service.yaml", JOBS="off")
    taken = settings(container(manifest, "api"))
    assert not taken.jobs
    assert taken.redis_url is None
    left = set(annotations(SERVICE)) - set(annotations(manifest))
    assert left == {
        "run.googleapis.com/cloudsql-instances",
        "run.googleapis.com/network-interfaces",
        "run.googleapis.com/vpc-access-egress",
    }
    secret = {one["name"] for one in container(manifest, "api")["env"] if "valueFrom" in one}
    assert secret == {"ADMIN_TOKEN"}


def test_the_api_has_ended_before_it_is_killed():
    """The validator has Gunicorn's time hold the delay, a prediction and the farewell."""
    taken = settings(API)
    assert taken.graceful_timeout_seconds < KILL_SECONDS
    assert taken.shutdown_delay_seconds >= 1  # the collector's last scrape meets an open port


def test_the_workers_have_ended_before_they_are_killed():
    """Jobs are given back, then logs and traces are flushed."""
    assert settings(WORKER).worker_shutdown_seconds + FLUSH_SECONDS < KILL_SECONDS


def test_probes_ask_where_the_product_listens():
    """The one that Cloud Run names in PORT, and the workers' own."""
    (port,) = API["ports"]
    assert port["containerPort"] == settings(API).port
    for probe in ("startupProbe", "livenessProbe"):
        assert API[probe]["httpGet"] == {"path": "/health", "port": port["containerPort"]}
        assert WORKER[probe]["httpGet"] == {
            "path": "/health",
            "port": settings(WORKER).worker_metrics_port,
        }
    assert not {"PORT", "K_SERVICE"} & {one["name"] for one in API["env"] + WORKER["env"]}


@pytest.mark.parametrize("of", [API, WORKER], ids=["api", "worker"])
def test_a_start_has_time_and_a_hang_has_not(of):
    """A minute for the database, two for the start; and Gunicorn may mend its workers first."""
    assert 60 + 120 <= patience(of["startupProbe"]) <= LONGEST_START
    for probe in (of["startupProbe"], of["livenessProbe"]):
        assert probe["timeoutSeconds"] <= probe["periodSeconds"]
    mends = settings(API).worker_timeout_seconds + 15 if of is API else 30
    assert mends < patience(of["livenessProbe"]) <= 120


def test_an_instance_gets_no_more_than_its_queue_takes():
    """At full speed: what waits longer than QUEUE_SECONDS would be refused."""
    taken = settings(API)
    processors = int(API["resources"]["limits"]["cpu"])
    concurrency = SERVICE["spec"]["template"]["spec"]["containerConcurrency"]
    assert concurrency <= processors * REQUESTS_PER_PROCESSOR * taken.queue_seconds
    assert concurrency <= taken.queue_limit * 2  # two Gunicorn workers on two processors


def test_what_the_front_end_cuts_is_longer_than_what_the_product_allows():
    """Bodies and times: the caller gets our words, not the platform's."""
    taken = settings(API)
    assert taken.max_body_bytes < LIMIT_OF_BODIES
    timeout = SERVICE["spec"]["template"]["spec"]["timeoutSeconds"]
    assert taken.body_timeout_seconds + taken.prediction_deadline_seconds < timeout
    assert timeout <= LONGEST_REQUEST
    assert taken.keepalive_seconds > 600


def test_processors_are_there_between_requests_and_more_of_them_at_a_start():
    """Scrapes and readiness wait for no caller."""
    assert annotations(SERVICE)["run.googleapis.com/cpu-throttling"] == "false"
    assert annotations(SERVICE)["run.googleapis.com/startup-cpu-boost"] == "true"
    assert annotations(SERVICE)["run.googleapis.com/execution-environment"] == "gen2"


@pytest.mark.parametrize(("manifest", "first"), [(SERVICE, "api"), (POOL, "worker")])
def test_the_collector_starts_after_what_it_scrapes(manifest, first):
    """Which Cloud Run only knows where that has a startup probe."""
    order = json.loads(annotations(manifest)["run.googleapis.com/container-dependencies"])
    assert order == {"collector": [first]}
    assert "startupProbe" in container(manifest, first)


@pytest.mark.parametrize(("manifest", "of"), [(SERVICE, API), (POOL, WORKER)])
def test_secrets_come_from_the_secret_store_alone(manifest, of):
    """No password, token or address with one stands in a manifest."""
    secret = {one["name"] for one in of["env"] if "valueFrom" in one}
    assert {"DATABASE_URL", "REDIS_URL"} <= secret
    for value in SECRETS.values():
        assert value not in json.dumps(manifest)
    account = manifest["spec"]["template"]["spec"]["serviceAccountName"]
    assert account.split("@")[0] == manifest["metadata"]["name"]  # an identity of its own


def test_a_new_revision_serves_nobody():
    """All traffic stays where it was; the candidate has an address of its own."""
    old, new = SERVICE["spec"]["traffic"]
    assert old == {"revisionName": VALUES["SERVING_REVISION"], "percent": 100}
    assert new == {"revisionName": VALUES["API_REVISION"], "tag": "candidate", "percent": 0}


def test_both_run_one_image_that_is_pinned():
    """And so are the collectors."""
    assert API["image"] == WORKER["image"] == VALUES["IMAGE"]
    for manifest in (SERVICE, POOL):
        _, tag = container(manifest, "collector")["image"].rsplit(":", 1)
        assert re.fullmatch(r"\d+\.\d+\.\d+", tag)


def test_the_database_has_a_connection_for_every_process():
    """Two revisions at once, each at its most, as while one follows the other."""
    (most,) = re.findall(r"MAX_CONNECTIONS=(\d+)", (CLOUDRUN / "setup.sh").read_text())
    instances = int(annotations(SERVICE)["autoscaling.knative.dev/maxScale"])
    pools = read("autoscaler.yaml")["spec"]["scaledObjects"][0]["spec"]["maxReplicaCount"]
    api = instances * 2  # Gunicorn workers on two processors
    workers = pools * settings(WORKER).worker_processes
    assert 2 * (api + workers) * CONNECTIONS + 20 <= int(most)


def test_the_database_is_asked_through_cloud_runs_socket():
    """SQLAlchemy hands the path on to the driver whole, colons and all."""
    url = read_url(settings(API))
    _, given = url.get_dialect()().create_connect_args(url)
    assert given["host"] == f"/cloudsql/{VALUES['PROJECT_ID']}:{VALUES['REGION']}:vitrine"
    assert given["database"] == "vitrine"
    for manifest in (SERVICE, POOL):
        socket = annotations(manifest)["run.googleapis.com/cloudsql-instances"]
        assert f"/cloudsql/{socket}" == given["host"]


def test_files_outlive_their_jobs():
    """The bucket's own rule takes only what the product has left behind."""
    (rule,) = read("lifecycle.json")["rule"]
    taken = settings(WORKER)
    assert rule["condition"]["age"] * 86_400 > taken.job_retention_seconds + taken.job_seconds


def test_a_value_that_is_not_known_ends_the_deployment(tmp_path):
    """Rather than being applied as it stands."""
    (tmp_path / "odd.yaml").write_text("name: ${NOBODY_KNOWS}\n")
    done = bash(f'render "{tmp_path}/odd.yaml"', **VALUES)
    assert done.returncode == 1
    assert "${NOBODY_KNOWS}" in done.stderr


def test_values_are_put_in_as_they_are(tmp_path):
    """No sign in them means anything to the shell."""
    (tmp_path / "odd.yaml").write_text("name: ${IMAGE}\n")
    done = bash(f'render "{tmp_path}/odd.yaml"', **VALUES | {"IMAGE": r"a&b\1|$HOME"})
    assert done.stdout == "name: a&b\\1|$HOME\n"
