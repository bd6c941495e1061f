"""The product's containers of compose.yaml under Podman: they start, predict, run a job and stop.

With the real image. Database, broker and storage run on this machine, as their images need a
registry; all share its network, so the networks of compose.yaml are not tested.
"""

import sys
from functools import partial
from pathlib import Path

import httpx2
import pytest
import yaml

from drills.s3 import BUCKET, serving_s3
from drills.server import free_port
from drills.valkey import serving_valkey
from drills.waiting import DEADLINE, wait_until
from tests.deploy.command import run
from tests.deploy.compose import FOLDER, PRODUCT, seconds, services, variables
from tests.ops.tools import ROOT, need
from tests.photos import photo
from tests.services.postgres import run_postgres

IMAGE, TAG = "localhost/vitrine", "test"
START_SECONDS = 120.0  # what compose.yaml allows
podman = partial(run, "podman")
# Containers inside of others may not raise limits, so those of the engine cannot be set.
LIMITS = {"nofile": {"soft": 20000, "hard": 20000}, "nproc": {"soft": 4096, "hard": 4096}}


def need_image():
    need("podman")
    name = f"{IMAGE}:{TAG}"
    if podman("image", "exists", name).returncode:
        pytest.skip(f"the image {name} is not here: make image-test builds it")
    limits = [f"--ulimit={kind}={one['soft']}:{one['hard']}" for kind, one in LIMITS.items()]
    tried = podman("run", "--rm", "--network=host", *limits, "--entrypoint=true", name)
    if tried.returncode:
        pytest.skip(f"Podman runs no container here: {tried.stderr.strip()[-200:]}")


class Project:
    def __init__(self, folder: Path, **settings: str) -> None:
        names = ("PORT", "METRICS_PORT", "WORKER_METRICS_PORT")
        self.ports = {name: free_port() for name in names}
        self.url = f"http://127.0.0.1:{self.ports['PORT']}"
        self.headers: dict[str, str] = {}
        self._name = f"vitrine-test-{self.ports['PORT']}"
        env = variables() | {"VITRINE_IMAGE": IMAGE, "REVISION": TAG}
        (folder / ".env").write_text("".join(f"{name}={env[name]}\n" for name in env))
        given = {**settings, **self.ports, "HOST": "127.0.0.1"}
        given = {name: str(value) for name, value in given.items()}
        own = {"network_mode": "host", "init": False, "ulimits": LIMITS, "environment": given}
        text = yaml.safe_dump({"services": {name: dict(own) for name in PRODUCT}})
        (folder / "override.yaml").write_text(text)
        files = ["-f", str(FOLDER / "compose.yaml"), "-f", str(folder / "override.yaml")]
        tool = str(Path(sys.executable).parent / "podman-compose")
        self._command = [tool, "--env-file", str(folder / ".env"), "-p", self._name, *files]

    def compose(self, *words: str) -> None:
        done = run(*self._command, *words, cwd=ROOT)
        assert done.returncode == 0, done.stdout + done.stderr

    def container(self, service: str) -> str:
        labels = (f"service={service}", f"project={self._name}")
        filters = [f"--filter=label=com.docker.compose.{label}" for label in labels]
        return podman("ps", "-a", *filters, "--format", "{{.Names}}").stdout.strip()

    def is_ready(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/ready", timeout=DEADLINE).status_code == 200
        except httpx2.TransportError:
            return False

    def get(self, url: str):
        return httpx2.get(url, headers=self.headers, timeout=DEADLINE)

    def post(self, path: str):
        with photo("chelsea").open("rb") as file:
            files, url = {"image": file}, f"{self.url}{path}"
            return httpx2.post(url, files=files, headers=self.headers, timeout=DEADLINE)

    def make_key(self) -> None:
        """Make a key of the first administrator, as the page says, and send it from now on."""
        making = ["keys", "create", "admin", "first", "--scope", "predict", "--scope", "jobs"]
        done = podman("exec", self.container("api"), "python", "-m", "project", *making)
        assert done.returncode == 0, done.stderr
        self.headers = {"Authorization": f"Bearer {done.stdout.strip()}"}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    need_image()
    folder = tmp_path_factory.mktemp("podman")
    broker = free_port()
    with (
        serving_valkey(folder / "valkey", ["--port", str(broker), "--bind", "127.0.0.1"]),
        run_postgres() as postgres,
        serving_s3(folder / "s3") as s3,
    ):
        urls = {
            "DATABASE_URL": postgres.new_database(),
            "REDIS_URL": f"redis://127.0.0.1:{broker}",
            "STORAGE_URL": f"s3://{BUCKET}/jobs",
        }
        project = Project(folder, **urls, **s3.variables)
        try:
            project.compose("up", "-d", "--no-build", "--no-deps", *PRODUCT)
            wait_until(project.is_ready, "/ready is green", START_SECONDS)
            assert project.post("/v1/models/classification/predictions").status_code == 401
            project.make_key()
            yield project
        finally:
            project.compose("down", "-v", "-t", "20")


@pytest.mark.parametrize("name", PRODUCT)
def test_the_health_check_passes(project, name):
    command = ("healthcheck", "run", project.container(name))
    wait_until(lambda: podman(*command).returncode == 0, "it is healthy")


def test_a_photo_is_classified_and_metrics_have_ports_of_their_own(project):
    answer = project.post("/v1/models/classification/predictions?top_k=3")
    assert len(answer.json()["classes"]) == 3
    for port, metric in (("METRICS_PORT", "model_loaded"), ("WORKER_METRICS_PORT", "jobs_oldest")):
        url = f"http://127.0.0.1:{project.ports[port]}/metrics"
        assert metric in httpx2.get(url, timeout=DEADLINE).text
    assert httpx2.get(f"{project.url}/metrics", timeout=DEADLINE).status_code == 404


def test_the_result_of_a_job_is_downloaded_from_the_storage(project):
    accepted = project.post("/v1/models/background_removal/jobs")
    assert accepted.status_code == 202
    job = f"{project.url}{accepted.headers['Location']}"

    def is_done():
        status = project.get(job).json()["status"]
        assert status != "failed"
        return status == "succeeded"

    wait_until(is_done, "the job succeeded")
    signed = project.get(f"{job}/result")
    assert signed.status_code == 307
    result = httpx2.get(signed.headers["Location"], timeout=DEADLINE)
    assert result.content.startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["worker", "api"])
def test_it_stops_by_itself_within_the_grace_period(project, name):
    """Exit code 0: it is not killed. The last test."""
    container = project.container(name)
    grace = seconds(services()[name]["stop_grace_period"])
    podman("stop", "-t", str(int(grace)), container)
    assert podman("inspect", "--format", "{{.State.ExitCode}}", container).stdout.strip() == "0"
