"""`jobs submit` through broken connections, restarts and Ctrl-C: no job lost, none doubled."""

import json
import signal
import socket
from pathlib import Path

import pytest

from tests.commands import command, start
from tests.conftest import picture
from tests.fakes import ShadeModel
from tests.job_server import Fault, JobServer
from tests.job_worker import TurnModel


@pytest.fixture
def server(tmp_path):
    (tmp_path / "server").mkdir()
    with JobServer(tmp_path / "server", [ShadeModel(), TurnModel()]) as server:
        yield server


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(picture())
    return path


def submit(server: JobServer, *words: object) -> tuple[str, ...]:
    return ("jobs", "submit", *map(str, words), "--url", server.url)


def test_an_answer_that_is_lost_makes_no_second_job(server, photo, tmp_path):
    """The connection broke after the job was accepted: the same key finds it again."""
    server.faults = [
        Fault("POST", "/jobs", status=503),
        Fault("POST", "/jobs", cut=0),
        Fault("POST", "/jobs", cut=1),
    ]
    done = command(*submit(server, "turn", photo, "--out", tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert len(server.jobs()) == 1
    keys = {
        headers["idempotency-key"]
        for _, path, headers in server.requests
        if path == "/v1/models/turn/jobs"
    }
    assert len(keys) == 1
    assert server.count("POST", "/jobs") == 4
    assert "retrying" in done.stderr


def test_a_stream_and_a_download_that_break_are_taken_up_again(server, photo, tmp_path):
    """And the file is whole, with nothing beside it."""
    server.faults = [
        Fault("GET", "/events", cut=0, times=2),
        Fault("GET", "/result", status=503),
        Fault("GET", "/1", cut=0),
        Fault("GET", "/1", cut=1),
    ]
    done = command(*submit(server, "turn", photo, "--out", tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    (result,) = (tmp_path / "out").iterdir()
    assert result.read_bytes().endswith(b"IEND\xaeB`\x82")
    assert len(server.jobs()) == 1


def test_a_restart_of_the_api_is_survived(server, photo, tmp_path):
    """The job goes on where it was, and so does who follows it."""
    server.works = False
    with start(*submit(server, "turn", photo, "--out", tmp_path / "out")) as process:
        assert process.stdout.readline().startswith("photo.png  accepted")
        server.__exit__()
        server.works = True
        server.__enter__()
        out, errors = process.communicate()
    assert (process.returncode, "Traceback" in errors) == (0, False), errors
    assert "photo.png  succeeded" in out
    assert len(server.jobs()) == 1


def test_who_stops_is_told_what_goes_on_and_how_to_go_on_with_it(server, photo, tmp_path):
    """The jobs stay; the commands that it names do what it says."""
    server.works = False
    out = tmp_path / "out"
    with start(*submit(server, "turn", photo, "--out", out)) as process:
        job_id = process.stdout.readline().split()[-1]
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in errors
    (fetch,) = [line.split() for line in errors.splitlines() if "jobs fetch" in line]
    (cancel,) = [line.split() for line in errors.splitlines() if "jobs cancel" in line]
    assert job_id in fetch
    assert list(out.iterdir()) == []
    (job,) = server.jobs()
    assert (job.id, job.status) == (job_id, "accepted")
    done = command(*cancel[3:])
    assert done.stdout == f"{job_id}  cancelled\n"
    done = command(*[str(out) if word == "DIR" else word for word in fetch[3:]])
    assert done.returncode == 1
    assert f"{job_id}: cancelled" in done.stderr


@pytest.mark.parametrize(
    "words", [("list",), ("show", "a"), ("cancel", "a"), ("fetch", "a", "--out", "{}")]
)
def test_a_server_that_is_not_there_is_said_in_a_line(words, tmp_path):
    """At once; the line says where it was looked for."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        done = command("jobs", *(word.format(tmp_path) for word in words), "--url", url)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"no answer from {url}")


def test_the_address_is_that_of_this_machines_port(server, photo, tmp_path):
    """Where PORT is set for the server it is set for who asks it as well."""
    port = server.url.rpartition(":")[2]
    done = command("jobs", "list", variables={"PORT": port})
    assert done.returncode == 0


def test_a_story_is_told_from_the_request_to_the_workers_last_word(tmp_path, photo):
    """By the id of the request, of the trace or of the job, from the log on disk."""
    log = tmp_path / "log" / "vitrine.jsonl"
    (tmp_path / "server").mkdir()
    models = [ShadeModel(), TurnModel()]
    with JobServer(tmp_path / "server", models, log_file=log, log_level="INFO") as server:
        command(*submit(server, "turn", photo, photo, "--out", tmp_path / "out"))
        job, other = server.jobs()
        assert job.traceparent
    for wanted in (job.id, job.request_id, job.traceparent.split("-")[1]):
        done = command("trace", wanted, variables={"LOG_FILE": str(log)})
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()[1:]
        assert {line.split()[2] for line in lines} >= {"api", "worker"}
        assert other.id not in done.stdout
        places = [
            next(number for number, line in enumerate(lines) if event in line)
            for event in ("job_accepted", "job_started", "job_ended")
        ]
        assert places == sorted(places)
    records = command("trace", job.id, "--json", "--file", str(log)).stdout.splitlines()
    events = [json.loads(record)["message"] for record in records]
    assert all(event in line for event, line in zip(events, lines, strict=True))
