"""Cloud Run's manifests: rendering, the sidecar's schema, probes, collectors, secrets."""

import json
import re
import signal

import httpx2
import pytest

from drills.server import free_port, serve
from project.db.engine import read_url
from tests.deploy.cloudrun import (
    KILL_SECONDS,
    VALUES,
    annotations,
    container,
    environment,
    load,
    render,
    run_bash,
)
from tests.deploy.environment import is_secret, settings_of
from tests.deploy.targets import cloud_run

START_SECONDS = 120  # besides a minute of waiting for the database
MAX_START_SECONDS = 240  # of a startup probe on Cloud Run
MAX_REQUEST_SECONDS = 3600
PREDICTIONS_PER_PROCESSOR = 100  # in a second, of the shipped classifier


# The fields of Google's page "Use the Prometheus sidecar for Cloud Run" and no others: the sidecar
# stops at one that it does not know.
REQUIRED = {"port", "interval", "path", "timeout"}
ENDPOINT = REQUIRED | {"scheme", "params", "proxyUrl", "metricRelabeling"}
METADATA = {"instance", "revision", "service", "configuration"}
CLIENT = "203.0.113.7"
# Cloud Run appends the client to what the client has sent itself.
FRONT_END = {"X-Forwarded-For": f"6.6.6.6, {CLIENT}", "X-Forwarded-Proto": "https"}


@pytest.fixture
def service():
    return render("service.yaml")


@pytest.fixture
def pool():
    return render("worker-pool.yaml")


def test_the_sidecars_configuration_has_known_fields_only():
    config = load("run-monitoring.yaml")
    assert config["apiVersion"] == "monitoring.googleapis.com/v1beta"
    assert config["kind"] == "RunMonitoring"
    assert config.keys() == {"apiVersion", "kind", "metadata", "spec"}
    assert config["spec"].keys() <= {"endpoints", "targetLabels", "limits"}
    assert set(config["spec"]["targetLabels"]["metadata"]) <= METADATA
    for endpoint in config["spec"]["endpoints"]:
        assert REQUIRED <= endpoint.keys() <= ENDPOINT
        assert re.fullmatch("/.*[^/]", endpoint["path"])  # it follows no redirect


def test_the_server_logs_the_client_and_stops_before_it_is_killed(tmp_path):
    """The client behind Cloud Run's front end; it stops with an idle connection open."""
    alone = render("service.yaml", JOBS="off", AUTH="off")
    variables = environment(container(alone, "api")) | {"HOST": "127.0.0.1"}
    variables |= {
        "METRICS_PORT": str(free_port()),
        "WEB_CONCURRENCY": "1",
        "INFERENCE_BACKEND": "torch",
    }
    with serve(tmp_path, **variables) as server, httpx2.Client(headers=FRONT_END) as client:
        assert client.get(f"{server.url}/nowhere").status_code == 404
        server.signal(signal.SIGTERM)
        assert server.wait(KILL_SECONDS) == 0
        lines = [json.loads(it) for it in server.log().splitlines() if it.startswith("{")]
    clients = [it["client"] for it in lines if it["message"] == "request_served"]
    assert clients == [CLIENT]


def test_an_unknown_value_stops_the_rendering(tmp_path):
    """And a known one is put in literally, whatever the shell would read in it."""
    (tmp_path / "odd.yaml").write_text("name: ${UNKNOWN}\n")
    done = run_bash(f'render "{tmp_path}/odd.yaml"', **VALUES)
    assert done.returncode == 1
    assert "${UNKNOWN}" in done.stderr
    (tmp_path / "odd.yaml").write_text("name: ${IMAGE}\n")
    done = run_bash(f'render "{tmp_path}/odd.yaml"', **VALUES | {"IMAGE": r"a&b\1|$HOME"})
    assert done.stdout == "name: a&b\\1|$HOME\n"


@pytest.mark.parametrize("auth", ["keys", "off"])
def test_without_jobs_the_api_needs_no_broker_and_without_accounts_no_database(service, auth):
    """Keys and users are in the database; the network is the broker's."""
    manifest = render("service.yaml", JOBS="off", AUTH=auth)
    variables = environment(container(manifest, "api"))
    settings = settings_of(variables)
    assert (settings.jobs, settings.auth, settings.redis_url) == (False, auth, None)
    assert ("DATABASE_URL" in variables) == (auth == "keys")
    removed = {
        name.rpartition("/")[2] for name in set(annotations(service)) - set(annotations(manifest))
    }
    database = {"cloudsql-instances"} if auth == "off" else set()
    assert removed == database | {"network-interfaces", "vpc-access-egress"}


def test_requests_fit_the_limits_of_the_platform_and_of_the_queue(service):
    """What waits longer than QUEUE_SECONDS in a full instance would be refused."""
    settings = cloud_run().api.settings
    concurrency = service["spec"]["template"]["spec"]["containerConcurrency"]
    processors = int(container(service, "api")["resources"]["limits"]["cpu"])
    assert concurrency <= processors * PREDICTIONS_PER_PROCESSOR * settings.queue_seconds
    assert concurrency <= settings.queue_limit * 2  # two Gunicorn workers on two processors
    start = cloud_run().api.start_seconds, cloud_run().worker.start_seconds
    assert all(60 + START_SECONDS <= one <= MAX_START_SECONDS for one in start)
    (port,) = container(service, "api")["ports"]
    assert port["containerPort"] == settings.port
    timeout = service["spec"]["template"]["spec"]["timeoutSeconds"]
    assert settings.body_timeout_seconds + settings.prediction_deadline_seconds < timeout
    assert timeout <= MAX_REQUEST_SECONDS
    assert settings.shutdown_delay_seconds >= 1  # the collector's last scrape finds an open port


def test_no_secret_is_in_a_manifest(service, pool):
    """Each comes from the secret store, for an identity of the manifest's own."""
    for manifest, name in ((service, "api"), (pool, "worker")):
        for one in container(manifest, name)["env"]:
            assert is_secret(one["name"]) == ("valueFrom" in one), one["name"]
        account = manifest["spec"]["template"]["spec"]["serviceAccountName"]
        assert account.split("@")[0] == manifest["metadata"]["name"]
        _, tag = container(manifest, "collector")["image"].rsplit(":", 1)
        assert re.fullmatch(r"\d+\.\d+\.\d+", tag)


def test_the_database_is_reached_through_the_socket_of_cloud_run(service, pool):
    """SQLAlchemy passes the path to the driver unchanged, with its colons."""
    url = read_url(cloud_run().api.settings)
    _, arguments = url.get_dialect()().create_connect_args(url)
    assert arguments["database"] == "vitrine"
    for manifest in (service, pool):
        socket = annotations(manifest)["run.googleapis.com/cloudsql-instances"]
        assert arguments["host"] == f"/cloudsql/{socket}"


def test_the_bucket_deletes_files_after_their_jobs():
    (rule,) = load("lifecycle.json")["rule"]
    settings = cloud_run().worker.settings
    kept = settings.job_retention_seconds + settings.job_seconds
    assert rule["condition"]["age"] * 86_400 > kept


def test_mail_documents_and_a_provider_are_in_the_manifest_where_they_are_chosen(service):
    """Their secrets need not be there otherwise: a revision that names one would not start."""
    plain = {one["name"] for one in container(service, "api")["env"]}
    assert not {"SMTP_URL", "MAIL_FROM", "USER_DOCUMENT", "DOCUMENT_KEY", "OIDC_ISSUER"} & plain
    chosen = {
        "REGISTRATION": "open",
        "USER_DOCUMENT": "br.cpf,br.cnpj",
        "MAIL_FROM": "vitrine@example.org",
        "PUBLIC_URL": "https://vitrine.example.org",
        "OIDC_ISSUER": "https://login.example.org",
        "OIDC_AUDIENCE": "vitrine",
    }
    settings = settings_of(environment(container(render("service.yaml", **chosen), "api")))
    assert settings.smtp_url is not None
    assert settings.document_key is not None
    for name, value in chosen.items():
        given = getattr(settings, name.lower())
        assert (",".join(given) if name == "USER_DOCUMENT" else given) == value
