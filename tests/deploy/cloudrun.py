"""The manifests of Cloud Run as deploy.sh applies them, and what is asked of them."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

from project.settings import Settings
from tests.deploy.environment import settings_of
from tests.ops.tools import ROOT

CLOUDRUN = ROOT / "deploy" / "cloudrun"
KILL_SECONDS = 10  # from SIGTERM to SIGKILL, on Cloud Run; nothing changes it
VALUES = {
    "PROJECT_ID": "some-project",
    "REGION": "europe-west1",
    "IMAGE": "europe-west1-docker.pkg.dev/some-project/vitrine/vitrine:abc1234",
    "API_REVISION": "vitrine-api-abc1234-261101120000",
    "WORKER_REVISION": "vitrine-worker-abc1234-261101120000",
    "SERVING_REVISION": "vitrine-api-0000000-261101110000",
    "WORKER_INSTANCES": "1",
}
# What the image sets for itself, and what Cloud Run's Secret Manager gives.
IMAGE = {"ENVIRONMENT": "production", "HOST": "0.0.0.0"}
SECRETS = {
    "vitrine-database-url": "postgresql+asyncpg://vitrine:word@/vitrine"
    "?host=/cloudsql/some-project:europe-west1:vitrine",
    "vitrine-redis-url": "redis://10.0.0.3:6379/0",
    "vitrine-admin-token": "an-admin-token-of-some-length",
}

Manifest = dict[str, Any]


def bash(script: str, **values: str) -> "subprocess.CompletedProcess[str]":
    """A script beside common.sh, with nothing but these in its environment."""
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"source deploy/cloudrun/common.sh\n{script}"],
        env={"PATH": "/usr/bin:/bin", **values},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def rendered(name: str, **values: str) -> Manifest:
    """A manifest with values in it, put there by what deploy.sh uses."""
    done = bash(f'render "$here/{name}"', **VALUES | values)
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)


def read(name: str) -> Manifest:
    """A file that needs no values."""
    return yaml.safe_load((CLOUDRUN / name).read_text())


def container(manifest: Manifest, name: str) -> Manifest:
    """One of the containers of a service or a worker pool."""
    (found,) = (
        one for one in manifest["spec"]["template"]["spec"]["containers"] if one["name"] == name
    )
    return found


def environment(of: Manifest) -> dict[str, str]:
    """What a container's own lines set, secrets read."""
    return {
        one["name"]: one["value"]
        if "value" in one
        else SECRETS[one["valueFrom"]["secretKeyRef"]["name"]]
        for one in of.get("env", [])
    }


def settings(of: Manifest) -> Settings:
    """What the product reads in that container."""
    return settings_of(IMAGE | environment(of))


def script(name: str) -> Path:
    """One of the programs that people run."""
    return CLOUDRUN / name
