"""The manifests for Kubernetes: they render, are of their kinds, and name each other rightly."""

import copy
import re

import kubernetes_validate
import pytest

from tests.deploy.kustomize import (
    FOLDER,
    chooses,
    container_of,
    labels_of,
    of_kind,
    one,
    rendered,
)

OLDEST = "1.27"  # the page says so; a disruption budget's policy for unready pods came with it
PASSWORDS = r"^kind: Secret$|\w+://[^/\s]*:[^/\s@]+@"
CUSTOM = ("monitoring.coreos.com/", "keda.sh/")
WAYS = {
    "base": ("base", None),
    "production": ("overlays/production", None),
    "without operators": ("overlays/production", ("ingress",)),
    "without KEDA": ("overlays/production", ("ingress", "monitoring")),
    "without jobs": ("overlays/production", ("ingress", "monitoring", "no-jobs")),
    "on GKE": ("overlays/production", ("ingress", "monitoring", "keda", "metadata-server")),
}


@pytest.fixture(params=WAYS)
def objects(request):
    """What each choice of components renders to."""
    return rendered(*WAYS[request.param])


@pytest.fixture
def production():
    """All of it."""
    return rendered("overlays/production")


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
def test_every_object_is_of_its_kind(objects, version):
    """By Kubernetes' own schemas, of the oldest version that is promised and of the newest."""
    seen = 0
    for found in objects:
        if not found["apiVersion"].startswith(CUSTOM):
            kubernetes_validate.validate(found, version, strict=True)
            seen += 1
    assert seen > 10


@pytest.mark.parametrize("kind", ["Deployment", "HorizontalPodAutoscaler", "Ingress"])
def test_a_mistyped_field_is_refused(production, kind):
    """Or the test before this one says nothing."""
    wrong = copy.deepcopy(of_kind(production, kind)[0])
    wrong["spec"]["replica"] = 2
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate(wrong, OLDEST, strict=True)


def test_only_the_chosen_components_bring_custom_kinds():
    """A cluster without operators refuses a whole apply for one kind that it does not know."""
    for name in ("base", "without operators"):
        assert not [it for it in rendered(*WAYS[name]) if it["apiVersion"].startswith(CUSTOM)]
    kinds = {it["kind"] for it in rendered(*WAYS["production"])}
    assert kinds >= {"PodMonitor", "PrometheusRule", "ScaledObject"}


def test_everything_is_in_one_namespace(objects):
    """So that the namespace's labels and its policies hold for all of it."""
    (namespace,) = of_kind(objects, "Namespace")
    others = [it for it in objects if it is not namespace]
    assert {it["metadata"]["namespace"] for it in others} == {namespace["metadata"]["name"]}


def test_selectors_find_the_pods_that_they_are_for(objects):
    """One that finds nothing is no error to Kubernetes, only silent."""
    pods = [labels_of(it) for it in of_kind(objects, "Deployment")]
    assert pods
    for deployment in of_kind(objects, "Deployment"):
        assert chooses(deployment["spec"]["selector"], labels_of(deployment))
        for spread in deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]:
            assert chooses(spread["labelSelector"], labels_of(deployment))
    for kind in ("Service", "PodDisruptionBudget", "PodMonitor"):
        for found in of_kind(objects, kind):
            chosen = [labels for labels in pods if chooses(found["spec"]["selector"], labels)]
            assert len(chosen) == 1, f"{kind} {found['metadata']['name']} is for one Deployment"


def test_the_deployments_share_no_pods(production):
    """Each would delete the other's."""
    api, worker = of_kind(production, "Deployment")
    assert not chooses(api["spec"]["selector"], labels_of(worker))
    assert not chooses(worker["spec"]["selector"], labels_of(api))


def test_the_way_from_the_ingress_ends_at_a_port_of_the_api(production):
    """Host to Service to port to container, by name."""
    (path,) = one(production, "Ingress", "vitrine")["spec"]["rules"][0]["http"]["paths"]
    to = path["backend"]["service"]
    service = one(production, "Service", to["name"])
    (port,) = [it for it in service["spec"]["ports"] if it["name"] == to["port"]["name"]]
    container = container_of(one(production, "Deployment", "vitrine-api"))
    assert port["targetPort"] in {it["name"] for it in container["ports"]}


def test_what_scales_names_a_deployment_and_nothing_else_sets_its_number(objects):
    """Two that write `replicas` undo each other for ever."""
    scaled = [
        it["spec"]["scaleTargetRef"]["name"]
        for kind in ("HorizontalPodAutoscaler", "ScaledObject")
        for it in of_kind(objects, kind)
    ]
    assert len(scaled) == len(set(scaled))
    for deployment in of_kind(objects, "Deployment"):
        owned = deployment["metadata"]["name"] in scaled
        assert owned == ("replicas" not in deployment["spec"])
    assert set(scaled) <= {it["metadata"]["name"] for it in of_kind(objects, "Deployment")}


def test_a_drained_node_leaves_at_least_one_pod(objects):
    """Whatever the number may shrink to."""
    least = {
        it["metadata"]["name"]: it["spec"]["replicas"]
        for it in of_kind(objects, "Deployment")
        if "replicas" in it["spec"]
    }
    for kind, field in (
        ("HorizontalPodAutoscaler", "minReplicas"),
        ("ScaledObject", "minReplicaCount"),
    ):
        for it in of_kind(objects, kind):
            least[it["spec"]["scaleTargetRef"]["name"]] = it["spec"][field]
    assert least
    for name, number in least.items():
        budget = one(objects, "PodDisruptionBudget", name)["spec"]
        assert number - budget["maxUnavailable"] >= 1


def test_nodes_can_be_drained_while_pods_are_unready(production):
    """One whose model does not load, or that waits to start: a budget would protect nobody."""
    for budget in of_kind(production, "PodDisruptionBudget"):
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_images_are_pinned_and_the_same(objects):
    """The API and the workers of one release, and never `latest`."""
    images = {container_of(it)["image"] for it in of_kind(objects, "Deployment")}
    assert len(images) == 1
    assert re.fullmatch(r"[\w.-]+(/[\w.-]+)+:(?!latest$)[\w.-]+", images.pop())


def test_no_secret_is_in_the_tree(objects):
    """They are made in the cluster; what refers to them is all that stands here."""
    assert not of_kind(objects, "Secret")
    for path in FOLDER.rglob("*.yaml"):
        assert not re.search(PASSWORDS, path.read_text(), re.MULTILINE)


def test_a_changed_setting_rolls_the_pods_out(production):
    """The ConfigMap's name changes with what is in it, and the pods name it."""
    (settings,) = of_kind(production, "ConfigMap")
    name = settings["metadata"]["name"]
    assert re.fullmatch(r"vitrine-settings-\w+", name)
    assert name != of_kind(rendered("base"), "ConfigMap")[0]["metadata"]["name"]
    for deployment in of_kind(production, "Deployment"):
        assert container_of(deployment)["envFrom"] == [{"configMapRef": {"name": name}}]


def test_a_rollout_never_has_fewer_pods_and_can_be_undone(production):
    """A new pod first, then an old one goes; the former releases are kept."""
    for deployment in of_kind(production, "Deployment"):
        rolling = deployment["spec"]["strategy"]["rollingUpdate"]
        assert rolling["maxUnavailable"] == 0
        assert rolling["maxSurge"]
        assert deployment["spec"]["revisionHistoryLimit"] >= 2


def test_the_api_grows_fast_and_shrinks_slowly(production):
    """Too few pods are 503s, too many are some minutes of processors."""
    spec = one(production, "HorizontalPodAutoscaler", "vitrine-api")["spec"]
    up, down = spec["behavior"]["scaleUp"], spec["behavior"]["scaleDown"]
    assert up["stabilizationWindowSeconds"] < down["stabilizationWindowSeconds"]
    assert spec["minReplicas"] >= 2
    requests = container_of(one(production, "Deployment", "vitrine-api"))["resources"]["requests"]
    assert {it["resource"]["name"] for it in spec["metrics"]} <= set(requests)  # a share of these
