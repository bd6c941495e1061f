"""The page: what it names is there, and what it promises is what the files say."""

import re

import pytest

from project.server.uvicorn_worker import LINGER_SECONDS, MARGIN_SECONDS
from tests.deploy.cloudrun import CLOUDRUN, container, read, rendered, settings
from tests.ops.tools import ROOT

PAGE = (CLOUDRUN / "README.md").read_text()
SERVICE = rendered("service.yaml")


def test_every_file_of_the_folder_is_on_the_page():
    """And no other is named as one of them."""
    table = set(re.findall(r"`([\w-]+\.(?:sh|py|yaml|json))`", PAGE.split("## What you need")[0]))
    there = {path.name for path in CLOUDRUN.iterdir() if path.is_file()}
    assert table == there - {"README.md", "__init__.py", "common.sh"}


def test_every_path_in_a_command_exists():
    """Scripts, pictures, folders."""
    ours = re.sub(r"https?://\S+", "", PAGE)
    found = set(re.findall(r"\b(?:deploy|docs|grafana|prometheus)/[\w./-]*\w", ours))
    assert len(found) > 8
    assert [path for path in found if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", ["NETWORK", "SUBNET", "BUCKET", "JOBS", "SQL_AVAILABILITY"])
def test_what_it_says_to_set_is_what_the_scripts_read(name):
    """With the default that they give it."""
    scripts = "".join(path.read_text() for path in CLOUDRUN.glob("*.sh"))
    assert f"{name}=" in PAGE
    assert f"{name}=${{{name}:-" in scripts


def test_its_numbers_are_those_of_the_manifests():
    """Seconds at the end, requests at once, instances."""
    taken = settings(container(SERVICE, "api"))
    worker = settings(container(rendered("worker-pool.yaml"), "worker"))
    concurrency = SERVICE["spec"]["template"]["spec"]["containerConcurrency"]
    (scaled,) = read("autoscaler.yaml")["spec"]["scaledObjects"]
    assert taken.graceful_timeout_seconds >= (
        taken.shutdown_delay_seconds
        + LINGER_SECONDS
        + taken.prediction_deadline_seconds
        + MARGIN_SECONDS
    )
    for words in (
        f"listens on for {taken.shutdown_delay_seconds:g} s",
        f"to close for up to {LINGER_SECONDS:g} s",
        f"has {taken.prediction_deadline_seconds:g} s for predictions in hand",
        f"in hand and {MARGIN_SECONDS} s to flush",
        f"{taken.graceful_timeout_seconds} s (`GRACEFUL_TIMEOUT_SECONDS`)",
        f"within {worker.worker_shutdown_seconds:g} s",
        f"at most {concurrency} requests at once",
        f"sets 1 to {scaled['spec']['maxReplicaCount']} instances",
    ):
        assert words in PAGE, words


def test_taking_it_down_forgets_nothing_that_was_made():
    """Each kind of thing that the scripts make is deleted by a command of the page."""
    down = PAGE.split("## Take it down")[1]
    scripts = "".join(path.read_text() for path in CLOUDRUN.glob("*.sh"))
    made = set(re.findall(r"gcloud ([a-z -]+?) create vitrine\b", scripts))
    made -= {"sql databases", "sql users", "parametermanager parameters"}  # they go with another
    assert {"sql instances", "memorystore instances", "artifacts repositories"} <= made
    assert not [what for what in made if f"gcloud {what} delete" not in down]
    protection, deletion = (
        down.index(word) for word in ("--no-deletion-protection", "sql instances delete")
    )
    assert protection < deletion
    secrets = set(re.findall(r"(?:put_secret|put_configuration) vitrine-([\w-]+)", scripts))
    (line,) = (line for line in down.splitlines() if "gcloud secrets delete" in line)
    assert secrets == set(line.split(" in ")[1].split(";")[0].split())
