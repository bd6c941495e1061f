"""deploy.sh and rollback.sh of Cloud Run: what they move, in which order, and after a failure."""

import pytest
import yaml

from tests.deploy.cloudrun_project import KEY, Project
from tests.deploy.http_stub import serve, serve_statuses

IMAGE = "europe-west1-docker.pkg.dev/some-project/vitrine/vitrine:abc1234"
TOKEN = "an-identity-token-that-must-not-be-seen"
PREDICTIONS = "/v1/models/classification/predictions"
STEPS = (
    "gcloud builds submit",
    "docker build",
    "docker push",
    "gcloud run services replace",
    "gcloud auth print-identity-token",
    "gcloud beta run worker-pools replace",
    "gcloud run services update-traffic",
)
MOVES = STEPS[-2:]


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A project with one release, `1`, and the requests that its candidate received."""
    project = Project(tmp_path_factory.mktemp("first") / "project")
    return project, release(project, "1")


@pytest.fixture
def project(first, tmp_path):
    return first[0].copy(tmp_path / "project")


def release(project, stamp, **variables):
    """Run deploy.sh with a candidate that works; returns the requests that it received."""
    with serve(serve_statuses({})) as stub:
        project.candidate = stub.url
        assert project.run("deploy.sh", STAMP=stamp, **variables) == 0, project.output
    return stub.requests


def test_a_release_is_tested_before_workers_and_traffic_move(first):
    """Built, started, asked for readiness and for a prediction; and only then moved."""
    project, requests = first
    assert project.called(*STEPS) == [STEPS[0], *STEPS[3:5], *STEPS[4:]]
    assert [one.line for one in requests] == ["GET /ready", f"POST {PREDICTIONS}"]
    assert {one.headers["X-Serverless-Authorization"] for one in requests} == {f"Bearer {TOKEN}"}
    assert {one.headers["Authorization"] for one in requests} == {f"Bearer {KEY}"}
    assert project.traffic() == "vitrine-api-abc1234-1,100,,\n"
    (submit,) = [call for call in project.calls() if call[1:3] == ["builds", "submit"]]
    assert "--gcs-source-staging-dir=gs://some-project-vitrine-source/source" in submit
    for kind, name in (("services", "vitrine-api"), ("worker-pools", "vitrine-worker")):
        template = yaml.safe_load(project.applied(kind, name))["spec"]["template"]
        assert template["spec"]["containers"][0]["image"] == IMAGE
        assert template["metadata"]["name"] == f"{name}-abc1234-1"


def test_a_second_release_gets_no_traffic_until_it_was_tested(project):
    """The former one keeps all of it; the same commit is not built again."""
    release(project, "2")
    manifest = yaml.safe_load(project.applied("services", "vitrine-api"))
    assert manifest["spec"]["traffic"] == [
        {"revisionName": "vitrine-api-abc1234-1", "percent": 100},
        {"revisionName": "vitrine-api-abc1234-2", "tag": "candidate", "percent": 0},
    ]
    assert project.traffic() == "vitrine-api-abc1234-2,100,,\n"
    assert "rollback.sh abc1234-1" in project.output
    assert project.called("gcloud builds submit") == []


@pytest.mark.parametrize("failing", ["/ready", PREDICTIONS, None])
def test_a_release_that_fails_its_test_moves_nothing(project, failing):
    """Or that does not answer at all; the message says where its log is."""
    with serve(serve_statuses({failing: 503})) as stub:
        project.candidate = stub.url if failing else project.candidate
        assert project.run("deploy.sh", STAMP="2") == 1
    assert project.called("gcloud run services replace")
    assert project.called(*MOVES) == []
    assert project.traffic().startswith("vitrine-api-abc1234-1,100,")
    assert "vitrine-worker-abc1234-1" in project.applied("worker-pools", "vitrine-worker")
    assert 'revision_name="vitrine-api-abc1234-2"' in project.output


def test_traffic_does_not_move_where_the_workers_fail(project):
    with serve(serve_statuses({})) as stub:
        project.candidate = stub.url
        assert project.run("deploy.sh", STAMP="2", FAKE_BROKEN="worker-pools replace") == 1
    assert project.called("gcloud run services update-traffic") == []


def test_without_jobs_the_workers_are_not_changed(project):
    """For an outage of the database: predictions continue with another revision."""
    release(project, "2", JOBS="off")
    assert "DATABASE_URL" in project.applied("services", "vitrine-api")  # it has the keys
    release(project, "3", JOBS="off", AUTH="off")
    assert project.called(*MOVES) == ["gcloud run services update-traffic"]
    assert "vitrine-worker-abc1234-1" in project.applied("worker-pools", "vitrine-worker")
    assert "DATABASE_URL" not in project.applied("services", "vitrine-api")


def test_without_a_key_a_release_is_asked_whether_it_is_ready(project):
    """A prediction needs one, unless AUTH=off."""
    requests = release(project, "2", SMOKE_KEY="")
    assert [one.line for one in requests] == ["GET /ready"]
    assert "SMOKE_KEY" in project.output
    requests = release(project, "3", SMOKE_KEY="", AUTH="off")
    assert [one.line for one in requests] == ["GET /ready", f"POST {PREDICTIONS}"]
    assert "Authorization" not in requests[0].headers
    assert "TOKEN_KEYS" not in project.applied("services", "vitrine-api")


def test_a_release_keeps_the_number_of_workers(project):
    assert 'manualInstanceCount: "1"' in project.applied("worker-pools", "vitrine-worker")
    release(project, "2", WORKER_INSTANCES="3")
    release(project, "3")
    assert 'manualInstanceCount: "3"' in project.applied("worker-pools", "vitrine-worker")


def test_split_traffic_is_not_overwritten(project):
    (project.state / "traffic").write_text("vitrine-api-a,90,,\nvitrine-api-b,10,,\n")
    assert project.run("deploy.sh", STAMP="2") == 1
    assert "vitrine-api-a vitrine-api-b" in project.output
    assert project.called("gcloud run services replace") == []


def test_the_token_is_never_shown(project):
    release(project, "2", FAKE_ACCOUNT="robot@some-project.iam.gserviceaccount.com")
    assert TOKEN not in project.output + str(project.calls())
    assert KEY not in project.output + str(project.calls())
    tokens = [call for call in project.calls() if "print-identity-token" in call]
    assert tokens[0][-1] == "--audiences=https://vitrine-api.example.com"


@pytest.mark.parametrize(
    "wrong", [{"REVISION": "Not A Name"}, {"BUILD": "hope"}, {"SMOKE_IMAGE": "/nowhere.png"}]
)
def test_a_wrong_setting_is_named_before_anything_starts(project, wrong):
    assert project.run("deploy.sh", **wrong) == 1
    assert next(iter(wrong)) in project.output
    assert project.called(*STEPS) == []


def moves(project):
    verbs = ("update-traffic", "update-instance-split")
    found = [call for call in project.calls() if any(verb in call for verb in verbs)]
    return [[word for word in call if word.startswith(("--to", "--remove"))] for call in found]


def test_a_rollback_moves_traffic_first_and_then_the_workers(project):
    """Both to revisions of one release; the tag goes, and the warm instances with it."""
    release(project, "2")
    assert project.run("rollback.sh", "abc1234-1") == 0
    assert moves(project) == [
        ["--to-revisions=vitrine-api-abc1234-1=100", "--remove-tags=candidate"],
        ["--to-revisions=vitrine-worker-abc1234-1=100"],
    ]
    assert project.traffic() == "vitrine-api-abc1234-1,100,,\n"


@pytest.mark.parametrize(
    ("before", "now", "reason"), [("off", "on", "brought no workers"), ("on", "off", "JOBS=off")]
)
def test_a_rollback_moves_traffic_alone_where_there_are_no_workers(project, before, now, reason):
    """The release came without them, or they are switched off; the output says so."""
    release(project, "2", JOBS=before)
    release(project, "3")
    assert project.run("rollback.sh", "abc1234-2", JOBS=now) == 0, project.output
    assert len(moves(project)) == 1
    assert reason in project.output


def test_a_rollback_that_cannot_find_its_revisions_moves_nothing(project):
    for broken in ("worker-pools revisions", "run revisions describe"):
        assert project.run("rollback.sh", "abc1234-1", FAKE_BROKEN=broken) != 0
        assert moves(project) == []
    assert project.run("rollback.sh", "no-such-release") == 1
    assert moves(project) == []
    assert project.run("rollback.sh") == 2
    assert moves(project) == []
    assert project.called("gcloud run revisions list")
