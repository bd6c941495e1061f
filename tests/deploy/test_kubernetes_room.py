"""The room that the pods need: processors and memory of nodes, connections of PostgreSQL."""

import math
import re

from project.db.engine import CONNECTIONS
from project.resources import Resources, size
from tests.deploy.environment import settings_of
from tests.deploy.kustomize import (
    FOLDER,
    Object,
    container_of,
    of_kind,
    one,
    rendered,
    settings_map,
)

PAGE = (FOLDER / "README.md").read_text()
ALLOCATABLE = 3.86  # vCPU of a node of 4, in the cloud that keeps most for itself
OWN = 0.4  # of them, for what the cluster runs on every node
PODS_OF_A_NODE = 2
RESERVED = 5  # connections: 3 that PostgreSQL keeps for its superuser, and some for people
DEFAULT = 100  # of PostgreSQL's max_connections
NAMES = ("vitrine-api", "vitrine-worker")


def deployment(name: str) -> Object:
    """As in production."""
    return one(rendered("overlays/production"), "Deployment", name)


def processors(text: str) -> float:
    """A number of processors as Kubernetes writes it."""
    return int(text[:-1]) / 1000 if text.endswith("m") else float(text)


def asked(name: str) -> tuple[float, int]:
    """Processors and GiB that a pod asks for."""
    requests = container_of(deployment(name))["resources"]["requests"]
    return processors(requests["cpu"]), int(requests["memory"].removesuffix("Gi"))


def allowed(name: str) -> float:
    """Processors that a pod may use."""
    return processors(container_of(deployment(name))["resources"]["limits"]["cpu"])


def bounds(name: str) -> tuple[int, int]:
    """The fewest and the most pods there are outside a release."""
    (spec,) = [
        it["spec"]
        for kind in ("HorizontalPodAutoscaler", "ScaledObject")
        for it in of_kind(rendered("overlays/production"), kind)
        if it["spec"]["scaleTargetRef"]["name"] == name
    ]
    least = spec["minReplicas"] if "minReplicas" in spec else spec["minReplicaCount"]
    most = spec["maxReplicas"] if "maxReplicas" in spec else spec["maxReplicaCount"]
    return least, most


def surged(name: str, pods: int) -> int:
    """How many there are while a release is rolled out beside so many."""
    surge = deployment(name)["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
    if isinstance(surge, str):
        return pods + math.ceil(pods * int(surge.removesuffix("%")) / 100)
    return pods + surge


def all_ask(pods: dict[str, int]) -> tuple[float, int]:
    """Processors and GiB for these numbers of pods."""
    vcpu = sum(number * asked(name)[0] for name, number in pods.items())
    return round(vcpu, 1), sum(number * asked(name)[1] for name, number in pods.items())


def said_of(pods: dict[str, int]) -> str:
    """What so many ask for, as the page says it."""
    vcpu, memory = all_ask(pods)
    api, workers = (pods[name] for name in NAMES)
    return f"{api} API pods and {workers} workers ask for {vcpu:g} vCPU and {memory} GiB"


def nodes(pods: dict[str, int]) -> int:
    """How many nodes they fill."""
    return math.ceil(sum(pods.values()) / PODS_OF_A_NODE)


def test_a_node_of_four_processors_holds_any_two_pods():
    """Beside what every node runs of the cluster's own; and the page says what has to be free."""
    vcpu = PODS_OF_A_NODE * max(asked(name)[0] for name in NAMES)
    memory = PODS_OF_A_NODE * max(asked(name)[1] for name in NAMES)
    assert vcpu <= ALLOCATABLE - OWN
    assert f"a node with {vcpu:g} vCPU and {memory} GiB free holds any two" in PAGE
    assert len({asked(name)[0] for name in NAMES}) == 1  # as the page speaks of both at once
    assert f"A pod asks for {asked('vitrine-api')[0]:g} vCPU" in PAGE
    assert f"no node has {asked('vitrine-api')[0]:g} vCPU" in PAGE


def test_pods_ask_for_nearly_all_that_they_may_use():
    """Or a full node slows all of them down, and each was sized for more than it gets."""
    for name in NAMES:
        assert 0.8 * allowed(name) <= asked(name)[0] <= allowed(name)


def test_three_nodes_hold_a_release_of_both_at_once():
    """Every old pod stays until its successor is there; at rest one node of the three may die."""
    rest = {name: bounds(name)[0] for name in NAMES}
    release = {name: surged(name, pods) for name, pods in rest.items()}
    assert said_of(rest) in PAGE
    vcpu, memory = all_ask(release)
    assert f"in a release for {vcpu:g} vCPU and {memory} GiB: three nodes of 4 vCPU" in PAGE
    assert "with three nodes of 4 vCPU and 16 GiB" in PAGE
    assert (nodes(rest), nodes(release)) == (2, 3)


def test_the_page_says_what_the_bounds_need():
    """Whoever pays for nodes learns it before the autoscaler asks for them."""
    rest = {name: bounds(name)[1] for name in NAMES}
    release = {name: surged(name, pods) for name, pods in rest.items()}
    said = f"which is {nodes(rest)} such nodes, and {nodes(release)} in a release"
    assert f"{said_of(rest)}, {said}" in PAGE


def test_the_api_grows_at_the_share_that_the_page_names():
    """Of what is asked for, as Kubernetes counts; the page says it of both."""
    spec = one(rendered("base"), "HorizontalPodAutoscaler", "vitrine-api")["spec"]
    (metric,) = spec["metrics"]
    share = metric["resource"]["target"]["averageUtilization"]
    of_allowed = share * asked("vitrine-api")[0] / allowed("vitrine-api")
    said = f"{share} % of what pods ask for, which is {of_allowed:.0f} % of what they may use"
    assert said in PAGE


def test_postgresql_has_connections_for_the_most_pods_there_can_be():
    """Each process holds up to so many; a release of both Deployments has surged pods as well."""
    api = container_of(deployment("vitrine-api"))["resources"]["limits"]
    memory = int(api["memory"].removesuffix("Gi")) * 2**30
    settings = settings_of(
        settings_map(rendered("overlays/production")) | {"REDIS_URL": "redis://b"}
    )
    machine = Resources(processors=processors(api["cpu"]), memory_bytes=memory)
    processes = dict(
        zip(NAMES, (size(settings, machine).workers, settings.worker_processes), strict=True)
    )

    def held(pods: dict[str, int]) -> int:
        return sum(pods[name] * processes[name] * CONNECTIONS for name in NAMES)

    least, most = ({name: bounds(name)[end] for name in NAMES} for end in (0, 1))
    few, peak = (
        held({name: surged(name, pods[name]) for name in NAMES})
        for pods in (dict.fromkeys(NAMES, 3), most)
    )
    (needed,) = map(int, re.findall(r"`max_connections` of (\d+)", PAGE))
    assert peak + RESERVED <= needed
    assert f"Each process holds up to {CONNECTIONS} connections" in PAGE
    assert f"{held(least)} at rest, at the bounds {held(most)}, in a release there {peak}" in PAGE
    assert f"3 API pods and 3 workers hold {few} in a release, which the default takes" in PAGE
    assert few + RESERVED <= DEFAULT
    for name, part in zip(NAMES, ("an API pod", "a worker pod"), strict=True):
        assert f"{part} has {processes[name]}" in PAGE
