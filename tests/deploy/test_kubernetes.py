"""The manifests of Kubernetes: schemas, references between objects, rollouts, sandbox, probes."""

import re

import kubernetes_validate
import pytest

from tests.deploy import kustomize
from tests.deploy.cloudrun import probe_seconds
from tests.deploy.environment import SECRETS, settings_of
from tests.deploy.kustomize import CUSTOM, FOLDER, PRODUCTION, container_of, find, of_kind, rendered
from tests.deploy.targets import kubernetes

OLDEST = "1.27"  # the page promises it; a budget's policy for unready pods came with it
PASSWORDS = r"^kind: Secret$|\w+://[^/\s]*:[^/\s@]+@"
CHOICES = {  # of components
    "base": ("base", None),
    "production": (PRODUCTION, None),
    "without operators": (PRODUCTION, ("ingress",)),
    "without KEDA": (PRODUCTION, ("ingress", "monitoring")),
    "without jobs": (PRODUCTION, ("ingress", "monitoring", "no-jobs")),
    "without accounts": (PRODUCTION, ("ingress", "monitoring", "no-jobs", "no-accounts")),
    "with a Gateway": (PRODUCTION, ("gateway", "monitoring", "keda")),
    "with mail": (PRODUCTION, ("ingress", "mail")),
    "on GKE": (PRODUCTION, ("ingress", "monitoring", "keda", "metadata-server")),
}
NAMES = ("vitrine-api", "vitrine-worker")
USER = 10001  # the image's
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


@pytest.fixture(params=CHOICES)
def objects(request):
    return rendered(*CHOICES[request.param])


@pytest.fixture
def production():
    return rendered(PRODUCTION)


@pytest.fixture(params=NAMES)
def deployment(request, production):
    return find(production, "Deployment", request.param)


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
def test_every_object_is_of_its_kind(objects, version):
    """By Kubernetes' own schemas, of the oldest version that is promised and of the newest."""
    standard = [it for it in objects if not it["apiVersion"].startswith(CUSTOM)]
    assert len(standard) > 10
    for found in standard:
        kubernetes_validate.validate(found, version, strict=True)


def test_only_components_have_custom_kinds():
    """A cluster without operators refuses a whole apply for one unknown kind."""
    for name in ("base", "without operators"):
        assert not [it for it in rendered(*CHOICES[name]) if it["apiVersion"].startswith(CUSTOM)]


def test_everything_is_in_one_namespace_and_no_secret_is_in_the_tree(objects):
    (namespace,) = of_kind(objects, "Namespace")
    others = [it for it in objects if it is not namespace]
    assert {it["metadata"]["namespace"] for it in others} == {namespace["metadata"]["name"]}
    assert not of_kind(objects, "Secret")
    for path in FOLDER.rglob("*.yaml"):
        assert not re.search(PASSWORDS, path.read_text(), re.MULTILINE)


def test_every_selector_finds_the_pods_of_one_deployment(objects):
    deployments = of_kind(objects, "Deployment")
    pods = [kustomize.labels_of(it) for it in deployments]
    assert pods
    selectors = [it["spec"]["selector"] for it in deployments]
    for deployment in deployments:
        for spread in kustomize.pod_of(deployment)["topologySpreadConstraints"]:
            assert kustomize.selects(spread["labelSelector"], kustomize.labels_of(deployment))
    for kind in ("Service", "PodDisruptionBudget", "PodMonitor"):
        selectors += [it["spec"]["selector"] for it in of_kind(objects, kind)]
    for selector in selectors:
        assert sum(kustomize.selects(selector, labels) for labels in pods) == 1


def test_the_ingress_leads_to_a_port_of_the_api(production):
    (path,) = find(production, "Ingress", "vitrine")["spec"]["rules"][0]["http"]["paths"]
    backend = path["backend"]["service"]
    service = find(production, "Service", backend["name"])
    (port,) = [it for it in service["spec"]["ports"] if it["name"] == backend["port"]["name"]]
    container = container_of(find(production, "Deployment", "vitrine-api"))
    assert port["targetPort"] in {it["name"] for it in container["ports"]}


def test_one_object_sets_the_number_of_pods(objects):
    """Two that write `replicas` would undo each other; a drain leaves at least one pod."""
    scaled = [
        it["spec"]["scaleTargetRef"]["name"]
        for kind in ("HorizontalPodAutoscaler", "ScaledObject")
        for it in of_kind(objects, kind)
    ]
    deployments = {it["metadata"]["name"]: it["spec"] for it in of_kind(objects, "Deployment")}
    assert len(scaled) == len(set(scaled))
    assert set(scaled) <= set(deployments)
    for name, spec in deployments.items():
        assert (name in scaled) == ("replicas" not in spec)
        budget = find(objects, "PodDisruptionBudget", name)["spec"]
        assert kustomize.pod_bounds(objects, name)[0] - budget["maxUnavailable"] >= 1
        assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"  # or they hold up every drain


def test_pods_pass_the_restricted_standard(production, deployment):
    """The namespace enforces it; nothing is writable but a bounded /tmp in memory."""
    (namespace,) = of_kind(production, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    pod, container = kustomize.pod_of(deployment), container_of(deployment)
    context = pod["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] == context["runAsGroup"] == USER
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == RESTRICTED
    account = find(production, "ServiceAccount", pod["serviceAccountName"])
    assert not pod["automountServiceAccountToken"]
    assert not account["automountServiceAccountToken"]
    assert pod["enableServiceLinks"] is False  # its variables would replace settings
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(pod)
    (mount,), (volume,) = container["volumeMounts"], pod["volumes"]
    assert set(volume) == {"name", "emptyDir"}
    assert mount == {"name": volume["name"], "mountPath": "/tmp"}
    assert volume["emptyDir"]["medium"] == "Memory"
    assert volume["emptyDir"]["sizeLimit"]


def test_a_release_waits_for_ready_pods_and_can_be_undone(production):
    """API and workers run one image, whose tag is a version or a commit."""
    deployments = of_kind(production, "Deployment")
    for spec in (it["spec"] for it in deployments):
        assert spec["strategy"].get("type", "RollingUpdate") == "RollingUpdate"
        assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        assert spec["revisionHistoryLimit"] >= 2
    (image,) = {container_of(it)["image"] for it in deployments}
    assert re.fullmatch(r"[\w./-]+:(\d+\.\d+\.\d+|[0-9a-f]{7,40})", image)


def test_settings_are_complete_without_optional_secrets(production, deployment):
    """And storage is no folder, as pods share no disk."""
    settings = settings_of(kustomize.environment(production, deployment, optional=False))
    assert settings.host == "0.0.0.0"
    assert not settings.storage_url.startswith("file:")


@pytest.mark.parametrize(
    ("components", "secrets"),
    [(("no-jobs",), {"DATABASE_URL", "TOKEN_KEYS"}), (("no-jobs", "no-accounts"), set())],
)
def test_without_jobs_the_accounts_are_in_the_database(components, secrets):
    """And without accounts no secret is needed."""
    objects = rendered(PRODUCTION, ("ingress", *components))
    (alone,) = of_kind(objects, "Deployment")
    variables = kustomize.environment(objects, alone, optional=False)
    assert set(variables) & set(SECRETS) == secrets
    settings = settings_of(variables)
    assert (settings.jobs, settings.auth) == (False, "keys" if secrets else "off")


def test_probes_ask_the_pod_alone(deployment):
    """At named ports that exist; a restart or a removal would mend no database."""
    container = container_of(deployment)
    ports = {port["name"] for port in container["ports"]}
    is_api = container["name"] == "api"
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        path = "/ready?scope=instance" if is_api and kind == "readinessProbe" else "/health"
        assert container[kind]["httpGet"]["path"] == path
        assert container[kind]["httpGet"]["port"] in ports
    if is_api:
        settings = kubernetes().api.settings
        start = probe_seconds(container["startupProbe"])
        assert start >= settings.database_wait_seconds + 30
        sleep, pause = container["lifecycle"]["preStop"]["exec"]["command"]
        assert sleep == "sleep"
        assert int(pause) >= container["readinessProbe"]["periodSeconds"]
        numbers = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert numbers["http"] == settings.port
