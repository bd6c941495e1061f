"""The operators' kinds, held strictly against their definitions by Node packages."""

import copy
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.kustomize import rendered
from tests.ops.tools import ROOT, need

SOURCE = Path(__file__).parent / "kinds"
INSTALLED = ROOT / "var" / "kinds"
AWAY = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH")
CUSTOM = ("monitoring.coreos.com/", "keda.sh/")
MUTATIONS = [  # kind, what of its specification is spoilt, and a word of the complaint
    ("PodMonitor", lambda spec: spec.update(endpoints=[]), "endpoints"),
    (
        "PodMonitor",
        lambda spec: endpoint(spec)["relabelings"][0].update(target_label="x"),
        "target_label",
    ),
    ("PodMonitor", lambda spec: endpoint(spec).update(interval="15 seconds"), "interval"),
    ("PrometheusRule", lambda spec: spec["groups"][0]["rules"][0].update(exp="1"), "exp"),
    ("PrometheusRule", lambda spec: spec["groups"][0].update(interval=15), "interval"),
    ("ScaledObject", lambda spec: spec.update(minReplicas=2), "minReplicas"),
    (
        "ScaledObject",
        lambda spec: spec["triggers"][0]["metadata"].update(threshold=15),
        "threshold",
    ),
    ("ScaledObject", lambda spec: spec["scaleTargetRef"].pop("name"), "name"),
]


def endpoint(spec):
    """What a PodMonitor has scraped."""
    return spec["podMetricsEndpoints"][0]


@pytest.fixture(scope="module")
def node():
    """Node, with the packages in var/kinds: fetched once, and again when their list changes."""
    npm, program = need("npm"), need("node")
    mark = INSTALLED / "installed"
    lock = (SOURCE / "package-lock.json").read_text()
    if not mark.exists() or mark.read_text() != lock:
        INSTALLED.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(SOURCE / name, INSTALLED)
        done = subprocess.run(
            [
                npm,
                "ci",
                "--no-audit",
                "--no-fund",
                "--prefer-offline",
                "--fetch-retries=0",
                "--fetch-timeout=20000",
            ],
            cwd=INSTALLED,
            capture_output=True,
            text=True,
            check=False,
        )
        if any(word in done.stderr for word in AWAY):
            pytest.skip("npm reaches no registry: the custom kinds are not checked")
        assert done.returncode == 0, done.stderr
        mark.write_text(lock)
    shutil.copy(SOURCE / "check.mjs", INSTALLED)
    return program


def faults(node, objects):
    """What is wrong with each object, in words; nothing where it is fine."""
    done = subprocess.run(
        [node, "check.mjs"],
        cwd=INSTALLED,
        input="\n".join(map(json.dumps, objects)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.split("\n")[:-1]
    assert len(said) == len(objects)
    return said


@pytest.fixture(scope="module")
def custom():
    """Objects of kinds that operators bring."""
    objects = rendered("overlays/production")
    return [it for it in objects if it["apiVersion"].startswith(CUSTOM)]


def test_custom_objects_are_of_their_kinds(node, custom):
    """No field that there is none of, no value that the operator would refuse."""
    assert {it["kind"] for it in custom} == {"PodMonitor", "PrometheusRule", "ScaledObject"}
    assert faults(node, custom) == [""] * len(custom)


def test_what_is_wrong_is_refused_by_name(node, custom):
    """Each way to be wrong, in one go; or the test before this one says nothing."""
    wrong = []
    for kind, spoil, _ in MUTATIONS:
        spoilt = copy.deepcopy(next(it for it in custom if it["kind"] == kind))
        spoil(spoilt["spec"])
        wrong.append(spoilt)
    for (kind, _, word), fault in zip(MUTATIONS, faults(node, wrong), strict=True):
        assert word in fault, f"{kind}, {word}: {fault}"
