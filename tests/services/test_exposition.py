"""What the API and the job workers expose is what the catalogue says: all of it, and no more.

With accounts on, as there are more series then.
"""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import connect

from drills import accounts
from drills.job_workers import run_job_workers
from drills.server import Server
from drills.waiting import DEADLINE, wait_until
from project.observability.metrics import FOREIGN, Spec, exposed
from project.settings import Settings
from tests.conftest import picture
from tests.photos import photo
from tests.services.server import serve
from tests.services.stack import standing

QUICK = "classification"
LONG = "background_removal"
BUDGETS = {"API": 1500, "workers": 600}
JOB_ENDS = {"succeeded", "failed"}
# What promtool says of names that we did not choose; of ours it has nothing to say.
DISLIKED = {"dramatiq_message_duration_milliseconds"}


@dataclass(frozen=True)
class Exposition:
    """One scrape. families: name → what is said of it."""

    text: str

    @property
    def families(self) -> dict[str, Any]:
        found = {}
        for family in text_string_to_metric_families(self.text):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            assert name not in found, name
            found[name] = family
        return found

    @property
    def series(self) -> int:
        return sum(len(family.samples) for family in self.families.values())


def scrape(url: str) -> Exposition:
    answer = httpx2.get(url, timeout=DEADLINE)
    assert answer.status_code == 200
    return Exposition(answer.text)


@pytest.fixture(scope="module")
def expositions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Exposition]]:
    """The product as shipped, after a little of everything was asked of it."""
    folder = tmp_path_factory.mktemp("exposition")
    with standing("embedded", folder) as stack:
        shipped = {
            **stack.variables,
            **accounts.SETTINGS,
            "MODELS": None,
            "WEB_CONCURRENCY": 1,
            "WORKER_PROCESSES": 1,
        }
        with (
            serve(folder, app=None, **shipped) as server,
            run_job_workers(folder, **shipped) as crew,
        ):
            use(server)
            yield {
                "API": scrape(f"{server.url}/metrics"),
                "workers": scrape(f"http://127.0.0.1:{crew.metrics_port}/metrics"),
            }


def use(server: Server) -> None:
    """Predict, be refused, stream a frame, and have jobs done, one of which fails."""
    images = [photo("chelsea").read_bytes(), picture(), b"no picture"]
    headers = accounts.bearer(accounts.create_key(server.url))
    predictions = f"{server.url}/v1/models/{QUICK}/predictions"
    for image in images:
        httpx2.post(predictions, files={"image": image}, headers=headers, timeout=DEADLINE)
    url = f"ws://127.0.0.1:{server.port}/v1/models/{QUICK}/stream"
    with connect(url, additional_headers=headers) as stream:
        stream.recv(DEADLINE)
        stream.send(images[0])
        stream.recv(DEADLINE)
    for model in (QUICK, LONG):
        url = f"{server.url}/v1/models/{model}/jobs"
        answer = httpx2.post(url, files={"image": images[0]}, headers=headers, timeout=DEADLINE)
        job = f"{server.url}{answer.headers['location']}"
        wait_until(lambda job=job: ended(job, headers), f"the job of {model} has ended", 120)
    httpx2.get(f"{server.url}/v1/models", timeout=DEADLINE)  # by nobody


def ended(job: str, headers: dict[str, str]) -> bool:
    return httpx2.get(job, headers=headers, timeout=DEADLINE).json()["status"] in JOB_ENDS


def by_name(spec: Spec) -> str:
    return spec.name


@pytest.mark.parametrize("spec", exposed(), ids=by_name)
def test_what_is_in_the_catalogue_is_exposed(expositions, spec):
    """By the API or by the workers, as what it is said to be, with its labels and their values."""
    found = [e.families[spec.name] for e in expositions.values() if spec.name in e.families]
    assert found
    for family in found:
        assert family.type == spec.kind
        assert spec in FOREIGN or family.documentation == spec.help
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(spec.labels)
            for label, values in spec.values.items():
                assert sample.labels[label] in values
    assert any(family.samples for family in found)


@pytest.mark.parametrize("where", BUDGETS)
def test_what_is_exposed_is_in_the_catalogue(expositions, where):
    """Nothing is on no page and in no test."""
    assert set(expositions[where].families) <= {spec.name for spec in exposed()}


@pytest.mark.parametrize("where", BUDGETS)
def test_the_series_of_a_used_instance_are_within_the_budget(expositions, where):
    """However many workers there are, their series are merged."""
    assert 100 < expositions[where].series <= BUDGETS[where]


def test_accounts_are_counted_by_what_they_did(expositions):
    """A sign-in and a new key by password, that key, and somebody without either."""
    families = expositions["API"].families
    attempts = {
        (s.labels["method"], s.labels["outcome"]): s.value
        for s in families["auth_attempts_total"].samples
    }
    assert attempts["password", "ok"] == 2
    assert attempts["key", "ok"] >= 1
    refusals = {s.labels["reason"]: s.value for s in families["auth_refusals_total"].samples}
    assert refusals["missing"] == 1 == sum(refusals.values())
    assert value(expositions["API"], "limit_store_up") == 1


def test_what_the_features_share_is_there(expositions):
    """Drift of a prediction and of a job, readiness, limits: none of them is an empty family."""
    api, workers = expositions["API"], expositions["workers"]
    checks = {s.labels["check"] for s in api.families["readiness_check_up"].samples}
    at_once = {QUICK, LONG, "detection", "keypoints", "style_transfer", "spam"}
    assert checks == {"database", "storage", "broker", *(f"model:{name}" for name in at_once)}
    for exposition, samples in ((api, 3), (workers, 1)):
        assert value(exposition, "drift_window_samples") == samples
        assert len(exposition.families["drift_psi"].samples) == 5
        assert value(exposition, "process_memory_limit_bytes") > 2**28
    assert value(workers, "jobs_time_limit_seconds") == 600
    assert by_queue(workers, "dramatiq_messages_total") == {QUICK: 1, LONG: 1}
    assert by_queue(workers, "dramatiq_message_rejects_total") == {}


def by_queue(exposition: Exposition, name: str) -> dict[str, float]:
    """Queue → value, where it is not 0; there is a series of each queue."""
    samples = exposition.families[name].samples
    found = {sample.labels["queue_name"]: float(sample.value) for sample in samples}
    assert {*found} == {*Settings(_env_file=None).models}
    return {queue: number for queue, number in found.items() if number}


def value(exposition: Exposition, name: str) -> float:
    (sample,) = exposition.families[name].samples
    return float(sample.value)


@pytest.mark.parametrize("where", BUDGETS)
def test_promtool_has_nothing_to_say(expositions, where):
    """Of our names; a library's own it may dislike, and that is known by name."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is missing: install the package prometheus")
    done = subprocess.run(
        [promtool, "check", "metrics"],
        input=expositions[where].text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 3}, done.stderr  # 3: it read all, and dislikes something
    assert {spec.name for spec in FOREIGN} >= DISLIKED
    said = (done.stdout + done.stderr).splitlines()
    assert [line for line in said if line.split(" ", 1)[0] not in DISLIKED] == []
