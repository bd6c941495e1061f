"""Custom kinds of Kubernetes and Cloud Run's Knative service, validated by Node packages."""

import copy
import json
import shutil
from pathlib import Path

import pytest

from tests.deploy.cloudrun import render
from tests.deploy.command import run
from tests.deploy.kustomize import CUSTOM, PRODUCTION, rendered
from tests.node_packages import install as install_packages
from tests.ops.tools import need

HERE = Path(__file__).parent
WRONG_KINDS = [  # kind, a change of its specification, and a word of the complaint
    ("PodMonitor", lambda spec: spec.update(endpoints=[]), "endpoints"),
    ("PodMonitor", lambda spec: endpoint(spec).update(interval="15 seconds"), "interval"),
    ("PrometheusRule", lambda spec: spec["groups"][0]["rules"][0].update(exp="1"), "exp"),
    ("PrometheusRule", lambda spec: spec["groups"][0].update(interval=15), "interval"),
    ("ScaledObject", lambda spec: spec.update(minReplicas=2), "minReplicas"),
    ("ScaledObject", lambda spec: spec["scaleTargetRef"].pop("name"), "name"),
    ("HTTPRoute", lambda spec: spec["rules"][0]["timeouts"].update(request="0 s"), "request"),
    ("HTTPRoute", lambda spec: spec.update(hostname="vitrine.example.com"), "hostname"),
]
WRONG_SERVICES = [  # a change of the specification, and where the complaint points
    (lambda spec: api(spec).update(livenessProb={}), "containers/0/livenessProb: no such field"),
    (lambda spec: spec["traffic"][0].update(percent="100"), "traffic/0/percent"),
]


def endpoint(spec):
    return spec["podMetricsEndpoints"][0]


def api(spec):
    return spec["template"]["spec"]["containers"][0]


def install(name: str) -> Path:
    """Install the packages of a folder here, with the program that asks them."""
    folder = install_packages(HERE / name)
    shutil.copy(HERE / name / "check.mjs", folder)
    return folder


def check(folder: Path, objects: list[dict[str, object]]) -> list[str]:
    done = run(need("node"), "check.mjs", cwd=folder, input="\n".join(map(json.dumps, objects)))
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1]


def test_custom_objects_are_of_their_kinds_and_mistakes_are_found():
    """A field that does not exist, or a value that the operator would refuse, is named."""
    everything = rendered(PRODUCTION, ("gateway", "monitoring", "keda"))
    objects = [it for it in everything if it["apiVersion"].startswith(CUSTOM)]
    kinds = {"HTTPRoute", "PodMonitor", "PrometheusRule", "ScaledObject"}
    assert {it["kind"] for it in objects} == kinds
    wrong = []
    for kind, change, _ in WRONG_KINDS:
        changed = copy.deepcopy(next(it for it in objects if it["kind"] == kind))
        change(changed["spec"])
        wrong.append(changed)
    found = check(install("kinds"), objects + wrong)
    assert found[: len(objects)] == [""] * len(objects)
    for (kind, _, word), fault in zip(WRONG_KINDS, found[len(objects) :], strict=True):
        assert word in fault, f"{kind}, {word}: {fault}"


def test_the_knative_service_is_valid():
    assert check(install("knative"), [render("service.yaml")]) == []


@pytest.mark.parametrize(("change", "where"), WRONG_SERVICES)
def test_a_mistake_in_the_knative_service_is_found(change, where):
    manifest = render("service.yaml")
    change(manifest["spec"])
    found = check(install("knative"), [manifest])
    assert any(where in line for line in found), found
