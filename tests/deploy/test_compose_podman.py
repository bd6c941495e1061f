"""compose.yaml brought up by podman-compose with the real image: the walk of the page, in short."""

import re

import httpx2
import pytest

from drills.waiting import DEADLINE, wait_until
from tests.deploy.compose import seconds, services
from tests.deploy.podman import IMAGE, TAG, podman, running
from tests.photos import photo


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Database, broker, storage, API and workers, ready; or skipped."""
    with running(tmp_path_factory.mktemp("podman")) as project:
        yield project


def test_everything_that_is_needed_is_there(project):
    """The models, the database, the storage and the broker, each with its password."""
    checks = httpx2.get(f"{project.url}/ready", timeout=DEADLINE).json()["checks"]
    assert {"database", "storage", "broker", "model:classification"} == checks.keys()
    assert all(check["ok"] for check in checks.values())


@pytest.mark.parametrize("service", ["api", "worker"])
def test_the_health_check_passes(project, service):
    """By the command that Docker would run."""
    wait_until(lambda: project.healthy(service), f"{service} is healthy")


def test_a_photo_is_classified(project):
    """The first thing that a reader of the page does."""
    with photo("chelsea").open("rb") as file:
        url = f"{project.url}/v1/models/classification/predictions?top_k=3"
        answer = httpx2.post(url, files={"image": file}, timeout=DEADLINE)
    assert answer.status_code == 200
    assert len(answer.json()["classes"]) == 3


def test_a_job_ends_and_its_result_is_downloaded_from_the_storage(project):
    """By the address that was signed, which leads past the API."""
    with photo("chelsea").open("rb") as file:
        url = f"{project.url}/v1/models/background_removal/jobs"
        accepted = httpx2.post(url, files={"image": file}, timeout=DEADLINE)
    assert accepted.status_code == 202
    job = f"{project.url}{accepted.headers['Location']}"

    def ended():
        status = httpx2.get(job, timeout=DEADLINE).json()["status"]
        assert status != "failed"
        return status == "succeeded"

    wait_until(ended, "the job succeeded")
    signed = httpx2.get(f"{job}/result", timeout=DEADLINE)
    assert signed.status_code == 307
    assert signed.headers["Location"].startswith(f"http://127.0.0.1:{project.ports['S3_PORT']}/")
    result = httpx2.get(signed.headers["Location"], timeout=DEADLINE)
    assert result.status_code == 200
    assert result.content.startswith(b"\x89PNG")


def test_metrics_are_where_prometheus_looks_and_nowhere_else(project):
    """Without a token on ports that nothing publishes; not on the public one."""
    api, worker = (project.ports[name] for name in ("METRICS_PORT", "WORKER_METRICS_PORT"))
    assert "model_loaded" in httpx2.get(f"http://127.0.0.1:{api}/metrics", timeout=DEADLINE).text
    text = httpx2.get(f"http://127.0.0.1:{worker}/metrics", timeout=DEADLINE).text
    assert "jobs_oldest_message_age_seconds" in text
    assert httpx2.get(f"{project.url}/metrics", timeout=DEADLINE).status_code == 404


@pytest.mark.parametrize("service", ["api", "worker"])
def test_a_container_can_change_nothing(project, service):
    """Neither is it root, nor has it any capability, nor can it write into its tree."""
    name = project.container(service)
    status = podman("exec", name, "cat", "/proc/1/status")
    assert re.search(r"^Uid:\t10001\t", status, re.MULTILINE)
    for kind in ("CapEff", "CapPrm", "CapBnd"):
        assert re.search(rf"^{kind}:\t0+$", status, re.MULTILINE), kind
    assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)
    script = "from pathlib import Path; Path('/app/x').touch()"
    assert "Read-only" in podman("exec", name, "sh", "-c", f'python -c "{script}" 2>&1; true')


def test_alertmanagers_file_is_written_into_a_new_volume(project):
    """By nobody, for nobody: the user that Alertmanager runs as."""
    project.compose("up", "--no-deps", "--no-build", "receivers")
    volume = f"{project.name}_alertmanager-config:/tmp:ro"
    user = services()["alertmanager"]["user"]
    limits = ["--ulimit", "nofile=20000:20000", "--ulimit", "nproc=4096:4096"]
    command = ["run", "--rm", "--network", "none", *limits, "--user", user, "--cap-drop", "ALL"]
    reading = ["--entrypoint", "cat", "-v", volume, f"{IMAGE}:{TAG}"]
    text = podman(*command, *reading, "/tmp/alertmanager/alertmanager.yml")
    assert "inhibit_rules:" in text
    assert "/app/prometheus/templates/" in text


@pytest.mark.parametrize("service", ["worker", "api"])
def test_a_stop_is_an_orderly_one(project, service):
    """It ends within the time that compose.yaml gives, and is not killed. The last test."""
    name = project.container(service)
    grace = seconds(services()[service]["stop_grace_period"])
    podman("stop", "-t", str(int(grace)), name)
    assert podman("inspect", "--format", "{{.State.ExitCode}}", name) == "0"
