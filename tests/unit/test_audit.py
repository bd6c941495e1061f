"""`make audit`: pip-audit where PyPI's service is reachable, and a clear line where it is not."""

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from drills.server import free_port
from tests.deploy.http_stub import StubServer, serve

ROOT = Path(__file__).parents[2]


def audited(folder: Path, service: str) -> subprocess.CompletedProcess[str]:
    """Run the script against a service; pip-audit is in the folder, or would be installed there."""
    return subprocess.run(
        [ROOT / "scripts/audit.sh", sys.executable],
        env={"PATH": "/usr/bin:/bin", "AUDIT_SERVICE": service, "AUDIT_FOLDER": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def answering(document: object) -> StubServer:
    """A service that knows one document."""
    return StubServer(lambda _request, _body: (200, {}, json.dumps(document).encode()))


@pytest.mark.parametrize("code", [0, 1])
def test_it_ends_as_pip_audit_does_for_what_is_installed(tmp_path, code):
    """So CI fails at a known vulnerability."""
    program = tmp_path / "bin/pip-audit"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@"\nexit {code}\n')
    program.chmod(0o755)
    with serve(answering({"vulnerabilities": [{"id": "PYSEC-1"}]})) as service:
        done = audited(tmp_path, service.url)
    assert done.returncode == code, done.stderr
    assert done.stdout.split()[-2:] == ["--path", sysconfig.get_path("purelib")]


def test_without_the_service_it_says_that_it_is_skipped_and_installs_nothing(tmp_path):
    """Nothing listens there."""
    service = f"http://127.0.0.1:{free_port()}"
    done = audited(tmp_path / "audit", service)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"audit skipped: {service} ")
    assert not (tmp_path / "audit").exists()


@pytest.mark.parametrize("document", [{"info": {}}, {"vulnerabilities": []}, [], None])
def test_a_mirror_that_knows_no_vulnerabilities_is_not_asked(tmp_path, document):
    """Not even those of a version that has some: an audit by it would always pass."""
    with serve(answering(document)) as mirror:
        done = audited(tmp_path / "audit", mirror.url)
    assert (done.returncode, done.stdout[:13]) == (0, "audit skipped")
    assert not (tmp_path / "audit").exists()
