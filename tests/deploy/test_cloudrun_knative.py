"""The service against the models of its kind, as Knative's own types have them."""

import json
import shutil
import subprocess

import pytest

from tests.deploy.cloudrun import rendered
from tests.ops.tools import ROOT, need

CHECK = ROOT / "tests" / "deploy" / "knative"
PACKAGES = ROOT / "var" / "knative"
INSTALL_SECONDS = 60


@pytest.fixture(scope="module")
def node():
    """Node, with the packages beside it that the check imports; fetched once."""
    need("node")
    npm = need("npm")
    PACKAGES.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "check.mjs"):
        shutil.copy(CHECK / name, PACKAGES / name)
    wanted = json.loads((CHECK / "package.json").read_text())["dependencies"]
    if any(installed(name) != version for name, version in wanted.items()):
        command = [
            npm,
            "install",
            "--no-package-lock",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
        ]
        try:
            subprocess.run(
                command, cwd=PACKAGES, check=True, capture_output=True, timeout=INSTALL_SECONDS
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            pytest.skip(f"npm cannot fetch {', '.join(wanted)}: run `npm install` in {PACKAGES}")
    return need("node")


def installed(name):
    """The version of a package that is there, if any."""
    package = PACKAGES / "node_modules" / name / "package.json"
    return json.loads(package.read_text())["version"] if package.exists() else None


def faults(node, manifest):
    """What the models say against a manifest."""
    done = subprocess.run(
        [node, "check.mjs"],
        cwd=PACKAGES,
        input=json.dumps(manifest),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_the_service_is_one(node):
    """Every field is known, in its place, and of its type."""
    assert faults(node, rendered("service.yaml")) == []


def spoil(manifest, what):
    """One mistake, as people make them."""
    spec = manifest["spec"]["template"]["spec"]
    api = spec["containers"][0]
    if what == "a mistyped field":
        api["livenessProb"] = api.pop("livenessProbe")
    elif what == "a field in the wrong place":
        api["containerConcurrency"] = spec.pop("containerConcurrency")
    elif what == "a number for text":
        api["env"][0]["value"] = 9464
    elif what == "text for a number":
        manifest["spec"]["traffic"][0]["percent"] = "100"


@pytest.mark.parametrize(
    ("what", "where"),
    [
        ("a mistyped field", "containers/0/livenessProb: no such field"),
        ("a field in the wrong place", "containers/0/containerConcurrency: no such field"),
        ("a number for text", "env/0/value"),
        ("text for a number", "traffic/0/percent"),
    ],
)
def test_a_mistake_is_found(node, what, where):
    """The models alone would let unknown fields pass."""
    manifest = rendered("service.yaml")
    spoil(manifest, what)
    found = faults(node, manifest)
    assert any(where in line for line in found), found
