"""deploy.sh and rollback.sh: what is moved, in which order, and what is not where it failed."""

import pytest
import yaml

from tests.deploy.cloudrun_project import Project, answering

IMAGE = "europe-west1-docker.pkg.dev/some-project/vitrine/vitrine:abc1234"
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
    """A project that had its first release, `1`."""
    project = Project(tmp_path_factory.mktemp("first") / "project")
    release(project, "1")
    return project


@pytest.fixture
def project(first, tmp_path):
    """The same, for one test."""
    return first.copy(tmp_path / "project")


def release(project, stamp, **variables):
    """Bring one out that answers; returns what it was asked."""
    with answering() as (project.candidate, asked):
        assert project.run("deploy.sh", STAMP=stamp, **variables) == 0, project.said
    return asked


def test_a_release_is_tried_before_it_gets_workers_and_traffic(tmp_path):
    """Built, started, asked whether it is ready, given a picture; and only then moved."""
    project = Project(tmp_path / "project")
    asked = release(project, "1")
    assert project.did(*STEPS) == [STEPS[0], *STEPS[3:5], *STEPS[4:]]
    token = "Bearer an-identity-token-that-nobody-may-see"
    assert asked == [("/ready", token), ("/v1/models/classification/predictions", token)]
    assert (project.state / "traffic").read_text() == "vitrine-api-abc1234-1,100,,\n"


def test_the_second_stands_beside_the_first_and_serves_nobody(project):
    """Until it was tried the former one has all of the traffic."""
    release(project, "2")
    manifest = yaml.safe_load(project.applied("services", "vitrine-api"))
    assert manifest["spec"]["traffic"] == [
        {"revisionName": "vitrine-api-abc1234-1", "percent": 100},
        {"revisionName": "vitrine-api-abc1234-2", "tag": "candidate", "percent": 0},
    ]
    assert (project.state / "traffic").read_text() == "vitrine-api-abc1234-2,100,,\n"
    assert "rollback.sh abc1234-1" in project.said


def test_the_source_goes_where_the_build_may_read_it(first):
    """To the bucket that setup.sh made for it."""
    (submit,) = [call for call in first.calls() if call[1:3] == ["builds", "submit"]]
    assert "--gcs-source-staging-dir=gs://some-project-vitrine-source/source" in submit


def test_the_same_commit_is_not_built_again(project):
    """Its image is there, and its tag names nothing else."""
    release(project, "2")
    assert project.did("gcloud builds submit") == []


@pytest.mark.parametrize("part", ["ready", "predictions"])
def test_a_release_that_fails_moves_nothing(project, part):
    """Callers and jobs stay with the former one; the message says where to look."""
    with answering(**{part: 503}) as (project.candidate, _):
        assert project.run("deploy.sh", STAMP="2") == 1
    assert project.did("gcloud run services replace")
    assert project.did(*MOVES) == []
    assert (project.state / "traffic").read_text().startswith("vitrine-api-abc1234-1,100,")
    assert "vitrine-worker-abc1234-1" in project.applied("worker-pools", "vitrine-worker")
    assert 'revision_name="vitrine-api-abc1234-2"' in project.said


def test_a_release_that_never_answers_moves_nothing(project):
    """Nothing listens there."""
    assert project.run("deploy.sh") == 1
    assert project.did(*MOVES) == []


def test_traffic_stays_where_the_workers_cannot_be_brought_out(project):
    """Whoever was served by the former release still is."""
    with answering() as (project.candidate, _):
        assert project.run("deploy.sh", STAMP="2", FAKE_BROKEN="worker-pools replace") == 1
    assert project.did("gcloud run services update-traffic") == []


def test_without_jobs_the_workers_are_left_alone(project):
    """The way out while the database is away: predictions go on with another revision."""
    release(project, "2", JOBS="off")
    assert project.did(*MOVES) == ["gcloud run services update-traffic"]
    assert "vitrine-worker-abc1234-1" in project.applied("worker-pools", "vitrine-worker")
    assert "DATABASE_URL" not in project.applied("services", "vitrine-api")


def test_workers_keep_their_number(project):
    """The autoscaler's, where there is one; or what is asked for."""
    assert 'manualInstanceCount: "1"' in project.applied("worker-pools", "vitrine-worker")
    release(project, "2", WORKER_INSTANCES="3")
    release(project, "3")
    assert 'manualInstanceCount: "3"' in project.applied("worker-pools", "vitrine-worker")


def test_both_run_the_image_that_was_built(first):
    """One image, one revision."""
    for kind, name in (("services", "vitrine-api"), ("worker-pools", "vitrine-worker")):
        manifest = yaml.safe_load(first.applied(kind, name))
        assert manifest["spec"]["template"]["spec"]["containers"][0]["image"] == IMAGE
        assert manifest["spec"]["template"]["metadata"]["name"] == f"{name}-abc1234-1"


def test_docker_builds_where_it_is_asked_to(project):
    """For Cloud Run's processors, whatever this machine has."""
    release(project, "2", BUILD="docker", REVISION="abc1235")
    assert project.did(*STEPS[:3]) == ["docker build", "docker push"]
    (build,) = [call for call in project.calls() if call[:2] == ["docker", "build"]]
    assert {"linux/amd64", "REVISION=abc1235"} <= set(build)


def test_traffic_that_is_split_is_not_ours_to_end(project):
    """Somebody is trying something; a deployment would end it unseen."""
    (project.state / "traffic").write_text("vitrine-api-a,90,,\nvitrine-api-b,10,,\n")
    assert project.run("deploy.sh", STAMP="2") == 1
    assert "vitrine-api-a vitrine-api-b" in project.said
    assert project.did("gcloud run services replace") == []


def test_nobody_sees_the_token(project):
    """Not on a command line, and not in what is said."""
    release(project, "2", FAKE_ACCOUNT="robot@some-project.iam.gserviceaccount.com")
    seen = project.said + str(project.calls())
    assert "an-identity-token" not in seen
    asks = [call for call in project.calls() if "print-identity-token" in call]
    assert asks[0][-1] == "--audiences=https://vitrine-api.example.com"


@pytest.mark.parametrize(
    "wrong", [{"REVISION": "Not A Name"}, {"BUILD": "hope"}, {"SMOKE_IMAGE": "/nowhere.png"}]
)
def test_what_is_wrong_is_said_before_anything_is_started(project, wrong):
    """In one line, with the setting's name."""
    assert project.run("deploy.sh", **wrong) == 1
    assert next(iter(wrong)) in project.said
    assert project.did(*STEPS) == []


def moves(project):
    """The arguments of the calls that moved something, without the place."""
    words = ("update-traffic", "update-instance-split")
    found = [call for call in project.calls() if any(word in call for word in words)]
    return [[word for word in call if word.startswith(("--to", "--remove"))] for call in found]


def test_a_roll_back_takes_callers_first_and_workers_too(project):
    """Both to revisions of one release; the one that is left keeps no tag and no warm instance."""
    release(project, "2")
    assert project.run("rollback.sh", "abc1234-1") == 0
    assert moves(project) == [
        ["--to-revisions=vitrine-api-abc1234-1=100", "--remove-tags=candidate"],
        ["--to-revisions=vitrine-worker-abc1234-1=100"],
    ]
    assert (project.state / "traffic").read_text() == "vitrine-api-abc1234-1,100,,\n"


@pytest.mark.parametrize(
    ("had", "has", "why"), [("off", "on", "brought no workers"), ("on", "off", "JOBS=off")]
)
def test_a_roll_back_leaves_workers_where_there_are_none_to_go_back_to(project, had, has, why):
    """The release came without them, or they are not wanted: callers are moved, and it says so."""
    release(project, "2", JOBS=had)
    release(project, "3")
    assert project.run("rollback.sh", "abc1234-2", JOBS=has) == 0, project.said
    assert len(moves(project)) == 1
    assert why in project.said


def test_a_roll_back_that_cannot_see_the_workers_moves_nothing(project):
    """Not callers either: what failed is told before."""
    release(project, "2")
    for broken in ("worker-pools revisions", "run revisions describe"):
        assert project.run("rollback.sh", "abc1234-1", FAKE_BROKEN=broken) != 0
        assert moves(project) == []
    assert project.run("rollback.sh", "no-such-release") == 1
    assert moves(project) == []


def test_a_roll_back_to_nothing_moves_nothing(project):
    """It says what there is to go back to."""
    assert project.run("rollback.sh") == 2
    assert project.did("gcloud run services update-traffic") == []
    assert project.did("gcloud run revisions list")
