"""The image, built as a person builds it."""

import os
import subprocess

import pytest

from drills.containers import IMAGE
from tests.ops.tools import ROOT, need

BUILD_SECONDS = 1500


@pytest.fixture(scope="session")
def image() -> str:
    """Its name. Built by the script that people run where no container registry is reached."""
    for program in ("podman", "buildah", "runc", "debootstrap"):
        need(program)
    if os.geteuid():
        pytest.skip("the base image is made by root alone")
    done = subprocess.run(
        ["deploy/image/build.sh", IMAGE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return IMAGE
