"""Renders the manifests of Cloud Run as deploy.sh applies them."""

import subprocess
from functools import cache
from typing import Any

import yaml

from tests.deploy.command import run
from tests.ops.tools import ROOT

FOLDER = ROOT / "deploy" / "cloudrun"
KILL_SECONDS = 10  # from SIGTERM to SIGKILL on Cloud Run, which has no setting for it
VALUES = {
    "PROJECT_ID": "some-project",
    "REGION": "europe-west1",
    "IMAGE": "europe-west1-docker.pkg.dev/some-project/vitrine/vitrine:abc1234",
    "API_REVISION": "vitrine-api-abc1234-261101120000",
    "WORKER_REVISION": "vitrine-worker-abc1234-261101120000",
    "SERVING_REVISION": "vitrine-api-0000000-261101110000",
    "WORKER_INSTANCES": "1",
}
IMAGE = {"ENVIRONMENT": "production", "HOST": "0.0.0.0"}  # set by the image itself
SECRETS = {  # example values of what Secret Manager holds
    "vitrine-database-url": "postgresql+asyncpg://vitrine:word@/vitrine"
    "?host=/cloudsql/some-project:europe-west1:vitrine",
    "vitrine-redis-url": "redis://10.0.0.3:6379/0",
    "vitrine-token-keys": f"20261130000000:{'0123456789abcdef' * 4}",
    "vitrine-first-password": "a-password-of-some-length",
    "vitrine-document-key": "0123456789abcdef" * 4,
    "vitrine-smtp-url": "smtps://user:password@mail.example.org:465",
    "vitrine-admin-token": "an-admin-token-of-some-length",
}

Manifest = dict[str, Any]


def run_bash(script: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run a script that has sourced common.sh, with only these variables in its environment."""
    environment = {"PATH": "/usr/bin:/bin", **variables}
    script = f"set -euo pipefail; source deploy/cloudrun/common.sh\n{script}"
    return run("bash", "-c", script, env=environment, cwd=ROOT)


@cache
def _rendered(name: str, variables: tuple[tuple[str, str], ...]) -> str:
    done = run_bash(f'render "$here/{name}"', **VALUES | dict(variables))
    assert done.returncode == 0, done.stderr
    return done.stdout


def render(name: str, **variables: str) -> Manifest:
    """A manifest with values in it, filled in by the function that deploy.sh uses."""
    return yaml.safe_load(_rendered(name, tuple(variables.items())))


def load(name: str) -> Manifest:
    return yaml.safe_load((FOLDER / name).read_text())


def container(manifest: Manifest, name: str) -> Manifest:
    containers = manifest["spec"]["template"]["spec"]["containers"]
    (found,) = (one for one in containers if one["name"] == name)
    return found


def annotations(manifest: Manifest) -> dict[str, str]:
    return manifest["spec"]["template"]["metadata"]["annotations"]


def environment(container: Manifest) -> dict[str, str]:
    return IMAGE | {
        one["name"]: one["value"]
        if "value" in one
        else SECRETS[one["valueFrom"]["secretKeyRef"]["name"]]
        for one in container.get("env", [])
    }


def probe_seconds(probe: Manifest) -> int:
    """How long a probe may fail before it counts, on Cloud Run and on Kubernetes."""
    return probe["periodSeconds"] * probe["failureThreshold"]
