"""The pods: what they may do, what they are told, how they start, are watched and end."""

import pytest

from project.api.jobs.events import COMMENT_SECONDS
from tests.deploy.environment import settings_of
from tests.deploy.kustomize import (
    container_of,
    of_kind,
    one,
    pod_of,
    rendered,
    settings_map,
)

USER = 10001  # the image's
ROOM_SECONDS = 5  # after the last step of an end
FLUSH_SECONDS = 4  # of workers, after WORKER_SHUTDOWN_SECONDS
START_SECONDS = 120  # to allow: the database's migration, then the models
SECRETS = {  # stand-ins, as the Secret would hold them
    "DATABASE_URL": "postgresql+asyncpg://vitrine:password@db/vitrine",
    "REDIS_URL": "rediss://:password@broker:6379/0",
    "ADMIN_TOKEN": "0123456789abcdef",
    "SENTRY_DSN": "https://key@sentry.example.com/1",
    "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%200123456789",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
}
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


@pytest.fixture(params=["vitrine-api", "vitrine-worker"])
def deployment(request):
    """Each of the two, as in production."""
    return one(rendered("overlays/production"), "Deployment", request.param)


@pytest.fixture
def api():
    """The API's."""
    return one(rendered("overlays/production"), "Deployment", "vitrine-api")


@pytest.fixture
def worker():
    """The workers'."""
    return one(rendered("overlays/production"), "Deployment", "vitrine-worker")


def environment(deployment, settings=None, *, optional=True):
    """What a container's environment holds, with stand-ins for secrets."""
    given = dict(settings or settings_map(rendered("overlays/production")))
    for variable in container_of(deployment).get("env", []):
        reference = variable["valueFrom"]["secretKeyRef"]
        assert reference["key"] == variable["name"]
        if optional or not reference.get("optional"):
            given[variable["name"]] = SECRETS[reference["key"]]
    return given


def seconds(probe):
    """How long a probe may fail before something happens."""
    return probe["periodSeconds"] * probe["failureThreshold"]


def port_of(deployment, name):
    """The number of a port that is named."""
    (number,) = [
        port["containerPort"] for port in container_of(deployment)["ports"] if port["name"] == name
    ]
    return number


def test_pods_pass_the_restricted_standard(deployment):
    """The namespace demands it, and would refuse them."""
    (namespace,) = of_kind(rendered("base"), "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    pod = pod_of(deployment)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["runAsGroup"] == USER
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container_of(deployment)["securityContext"] == RESTRICTED
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(pod)
    assert all(set(volume) == {"name", "emptyDir"} for volume in pod["volumes"])


def test_pods_have_no_way_to_the_cluster(deployment):
    """No token of Kubernetes, and none of the variables that would shadow settings."""
    pod = pod_of(deployment)
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    account = one(rendered("overlays/production"), "ServiceAccount", pod["serviceAccountName"])
    assert account["automountServiceAccountToken"] is False


def test_tmp_can_be_written_and_is_bounded(deployment):
    """All that the image writes goes there; the root file system is read-only."""
    (mount,) = container_of(deployment)["volumeMounts"]
    (volume,) = pod_of(deployment)["volumes"]
    assert mount == {"name": volume["name"], "mountPath": "/tmp"}
    assert volume["emptyDir"]["medium"] == "Memory"
    assert volume["emptyDir"]["sizeLimit"]


def test_memory_is_asked_for_in_full(deployment):
    """The program sizes itself by its limits, and a pod above its request is evicted first."""
    resources = container_of(deployment)["resources"]
    assert set(resources["limits"]) == set(resources["requests"]) == {"cpu", "memory"}
    assert resources["requests"]["memory"] == resources["limits"]["memory"]


@pytest.mark.parametrize("optional", [True, False], ids=["all secrets", "only those demanded"])
def test_the_environment_is_settings_that_are_accepted(deployment, optional):
    """Nothing mistyped, nothing refused, and nothing missing where optional secrets are."""
    settings = settings_of(environment(deployment, optional=optional))
    assert settings.environment == "production"
    assert settings.host == "0.0.0.0"
    assert settings.jobs
    assert not settings.storage_url.startswith("file:")  # pods share no disk


def test_without_jobs_nothing_of_them_is_demanded():
    """No database, no broker, no bucket: the Secret may be missing."""
    objects = rendered("overlays/production", ("ingress", "no-jobs"))
    (deployment,) = of_kind(objects, "Deployment")
    given = environment(deployment, settings_map(objects), optional=False)
    assert not set(given) & set(SECRETS)
    assert not settings_of(given).jobs


def test_the_ports_are_those_of_the_settings(api, worker):
    """A container's port is a name for what listens there."""
    settings = settings_of(environment(api))
    assert port_of(api, "http") == settings.port
    assert port_of(api, "metrics") == settings.metrics_port
    assert port_of(worker, "metrics") == settings.worker_metrics_port


def test_probes_ask_ports_that_are_there(deployment):
    """By name, so that a number is written once."""
    container = container_of(deployment)
    names = {port["name"] for port in container["ports"]}
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[kind]["httpGet"]["port"] in names


def test_no_probe_looks_outward(api, worker):
    """A restart mends no database, and what all pods share takes none of them out."""
    container = container_of(api)
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready?scope=instance"
    for kind in ("startupProbe", "livenessProbe"):
        assert container[kind]["httpGet"]["path"] == "/health"
        assert container_of(worker)[kind]["httpGet"]["path"] == "/health"
    assert container_of(worker)["readinessProbe"]["httpGet"]["path"] == "/health"


def test_a_start_has_time_for_the_migration_and_the_models(deployment):
    """Or a slow database is a loop of restarts."""
    settings = settings_of(environment(deployment))
    wait = getattr(settings, "database_wait_seconds", 60)
    assert seconds(container_of(deployment)["startupProbe"]) >= max(START_SECONDS, wait + 30)


def test_liveness_is_slower_than_what_mends_itself(api):
    """Gunicorn replaces a hanging worker; a restart would take the others' requests with it."""
    settings = settings_of(environment(api))
    liveness = container_of(api)["livenessProbe"]
    assert seconds(liveness) >= settings.worker_timeout_seconds + 30


def test_the_api_has_time_to_end(api):
    """The sleep of preStop while the endpoint goes, then requests finish, then the last words."""
    settings = settings_of(environment(api))
    sleep, pause = container_of(api)["lifecycle"]["preStop"]["exec"]["command"]
    assert sleep == "sleep"
    grace = pod_of(api)["terminationGracePeriodSeconds"]
    assert grace >= int(pause) + settings.graceful_timeout_seconds + ROOM_SECONDS
    readiness = container_of(api)["readinessProbe"]
    assert int(pause) >= readiness["periodSeconds"]


def test_a_worker_has_time_to_give_its_job_back(worker):
    """Or the job waits for its lease to lapse."""
    settings = settings_of(environment(worker))
    grace = pod_of(worker)["terminationGracePeriodSeconds"]
    assert grace >= settings.worker_shutdown_seconds + FLUSH_SECONDS + ROOM_SECONDS


def bytes_of(text):
    """A size as nginx writes it."""
    return int(text[:-1]) * 2**20 if text.endswith("m") else int(text)


def test_the_ingress_lets_through_what_the_api_decides(api):
    """Bodies up to the limit, streams that speak now and then, answers that take a while."""
    settings = settings_of(environment(api))
    given = one(rendered("overlays/production"), "Ingress", "vitrine")["metadata"]["annotations"]
    told = {name.partition("/")[2]: value for name, value in given.items()}
    assert bytes_of(told["proxy-body-size"]) > settings.max_body_bytes
    silence = int(told["proxy-read-timeout"])
    assert silence > 2 * COMMENT_SECONDS
    assert silence > settings.prediction_deadline_seconds + settings.queue_seconds
    assert int(told["proxy-send-timeout"]) > settings.body_timeout_seconds
    # The controller keeps idle connections for 60 s, unless its own ConfigMap says otherwise.
    assert settings.keepalive_seconds > 60
    assert told["proxy-buffering"] == "off"
    assert "http_503" not in told["proxy-next-upstream"]
    assert "non_idempotent" not in told["proxy-next-upstream"]
