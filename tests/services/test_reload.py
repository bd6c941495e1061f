"""SIGHUP: new settings, new workers, and no request that notices."""

import shutil
import socket
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest

from drills.server import ROOT, Server
from drills.source_tree import UNFINISHED
from tests.services.load import Client, Load, Outcome
from tests.services.server import serve

WORKERS = 2  # the default


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree, so that it can have an .env of its own."""
    tree = tmp_path_factory.mktemp("reload") / "vitrine"
    tree.mkdir()
    for name in ("project", "tests"):
        shutil.copytree(ROOT / name, tree / name, ignore=UNFINISHED)
    for name in ("gunicorn.conf.py", "prestart.sh"):
        shutil.copy(ROOT / name, tree / name)
    (tree / "project" / "models" / "broken.py").write_text("import nothing_like_it\n")
    (tree / ".env").write_text("QUEUE_LIMIT=10\nQEUE_SECONDS=1\nHTTP_PROXY=http://none\n")
    return tree


@pytest.fixture(scope="module")
def server(tree: Path) -> Iterator[Server]:
    with serve(tree.parent, root=tree, MODELS=None) as server:  # a variable would hide .env's
        yield server


def queue_limit(server: Server) -> float:
    return server.metrics().value("inference_queue_limit") / WORKERS


def test_a_reload_under_load_fails_no_request(server):
    """Clients that keep their connections are told to open new ones, and /ready stays green."""
    with Load(server) as load, Load(server, clients=1, ask=ready) as probe:
        for _ in range(2):
            server.reload()
            load.await_more(40)
    assert set(load.summary()) == {200}
    assert set(probe.summary()) == {200}


def ready(client: Client) -> Outcome:
    return client.request("GET", "/ready")


def test_a_reload_reads_the_settings_again(server, tree):
    """What the .env file says now is what the new workers do."""
    (tree / ".env").write_text("QUEUE_LIMIT=20\n")
    server.reload()
    assert queue_limit(server) == 20


def test_a_misspelt_setting_is_named_once_at_start_and_at_a_reload(server, tree):
    """By the arbiter alone, and a name that is none of ours is not named at all."""
    before = takewhile(lambda line: line["message"] != "worker_ready", server.records())
    started = [line["reason"] for line in before if line["message"] == "setting_misspelt"]
    assert started == [".env: QEUE_SECONDS is no setting; QUEUE_SECONDS is (did you mean it?)"]
    seen = len(server.records("setting_misspelt"))
    (tree / ".env").write_text("MODEL=classification\nGRAFANA_PORT=3000\n")
    server.reload()
    (line,) = server.records("setting_misspelt")[seen:]
    assert line["reason"] == ".env: MODEL is no setting; MODELS is (did you mean it?)"
    assert line["severity"] == "WARNING"


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("MAX_REQUESTS=-1", "MAX_REQUESTS: "),
        ("MODELS=nonesuch", "MODELS: no file project/models/nonesuch.py"),
        ("MODELS=broken", "MODELS: project/models/broken.py cannot be imported: ModuleNotFound"),
        ("MODELS=text_to_image", "MODELS: text_to_image: served as jobs alone"),
        ("METRICS_PORT={taken}", "port {taken} is taken"),
    ],
)
def test_a_reload_with_a_wrong_setting_keeps_what_was_and_says_so(server, tree, line, advice):
    """A slip of the pen in .env must not cost a service that runs."""
    before = queue_limit(server)
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        (tree / ".env").write_text(f"QUEUE_LIMIT=30\n{line.format(taken=taken)}\n")
        server.reload()
    said = server.records("settings_refused")[-1]["faults"][0]
    assert said.startswith(advice.format(taken=taken))
    assert queue_limit(server) == before
    assert len(server.workers()) == WORKERS
