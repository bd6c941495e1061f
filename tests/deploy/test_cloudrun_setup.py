"""setup.sh, autoscale.sh and alerts.sh: what is made once, in a project that is none."""

import pytest
import yaml

from tests.deploy.cloudrun import CLOUDRUN, read
from tests.deploy.cloudrun_project import Project

MAKING = (" create ", "versions add", "set-password")


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """A project that setup.sh has been through once."""
    project = Project(tmp_path_factory.mktemp("ready") / "project")
    assert project.run("setup.sh") == 0, project.said
    return project


@pytest.fixture(scope="module")
def first(ready):
    """How setup.sh called programs that first time."""
    return ready.history[0][0]


def making(calls):
    """Those calls that made something."""
    said = [" ".join(call) for call in calls]
    return [line for line in said if any(word in f"{line} " for word in MAKING)]


def test_everything_is_made_and_the_second_time_nothing(ready, first):
    """Bucket, database, broker, repository, identities and secrets; then none of them again."""
    for part in ("repositories", "service-accounts", "buckets", "sql instances", "memorystore"):
        assert any(part in line for line in making(first)), part
    assert ready.run("setup.sh") == 0, ready.said
    assert making(ready.calls()) == []


def test_without_jobs_nothing_is_made_that_only_jobs_need(tmp_path):
    """No database, broker, bucket or identity of workers: minutes instead of twenty."""
    project = Project(tmp_path / "project")
    assert project.run("setup.sh", JOBS="off") == 0, project.said
    lines = " ".join(making(project.calls()))
    assert "service-accounts create vitrine-api" in lines
    for part in ("sql", "memorystore", "network-connectivity", "vitrine-worker"):
        assert part not in lines
    assert lines.count("buckets create") == 1  # of sources
    assert not project.did("gcloud sql", "gcloud memorystore")


def test_what_broke_off_goes_on_where_it_was(tmp_path):
    """The database's user is there, its secret is not: it gets a new password, and no twin."""
    project = Project(tmp_path / "project")
    assert project.run("setup.sh", FAKE_BROKEN="secrets create vitrine-database-url") == 1
    assert project.run("setup.sh") == 0, project.said
    assert project.did("gcloud sql users create", "gcloud sql users set-password") == [
        "gcloud sql users set-password"
    ]
    password = yaml.safe_load((project.state / "password").read_text())["--password"]
    assert f":{password}@" in project.secret("vitrine-database-url")


def test_the_product_takes_the_addresses_that_were_made(ready):
    """The socket of the database, and the broker's primary, not its reader."""
    assert ready.secret("vitrine-database-url").endswith(
        "@/vitrine?host=/cloudsql/some-project:europe-west1:vitrine"
    )
    assert ready.secret("vitrine-redis-url") == "redis://10.0.0.3:6379/0"
    assert len(ready.secret("vitrine-admin-token")) == 40


def test_no_secret_is_said_or_stands_on_a_command_line(ready, first):
    """What a terminal, a CI's log or `ps` shows holds none."""
    password = yaml.safe_load((ready.state / "password").read_text())["--password"]
    seen = ready.history[0][1] + str(first)
    assert len(password) == 40
    for hidden in (password, ready.secret("vitrine-admin-token")):
        assert hidden not in seen


def test_an_identity_may_do_what_it_has_to_and_is_not_shared(first):
    """Signing is the API's alone; nobody but the API reads the operators' token."""
    lines = [" ".join(call) for call in first]
    signing = [line for line in lines if "serviceAccountTokenCreator" in line]
    assert len(signing) == 1
    assert signing[0].count("vitrine-api@") == 2  # on itself, for itself
    token = [line for line in lines if "add-iam-policy-binding vitrine-admin-token" in line]
    assert len(token) == 1
    assert "vitrine-api@" in token[0]
    assert not any("roles/editor" in line or "roles/owner" in line for line in lines)


def test_a_build_reads_what_was_uploaded_for_it_and_no_pictures(first):
    """Its bucket is its own, and no role on storage is given in the whole project."""
    lines = [" ".join(call) for call in first if "vitrine-build@" in " ".join(call)]
    storage = [line for line in lines if "roles/storage." in line]
    assert len(storage) == 1
    assert "buckets add-iam-policy-binding gs://some-project-vitrine-source " in storage[0]
    project = [line for line in lines if line.startswith("gcloud projects")]
    assert [line.split("--role=")[1].split()[0] for line in project] == ["roles/logging.logWriter"]


def test_a_releaser_gets_what_a_release_asks_for_and_administers_nothing(ready):
    """Files and secrets by name; what the page lists is what is given."""
    assert ready.run("setup.sh", RELEASER="group:ml@example.com") == 0, ready.said
    lines = [" ".join(call) for call in ready.calls() if "ml@example.com" in " ".join(call)]
    roles = {line.split("--role=")[1].split()[0] for line in lines}
    assert {"roles/serviceusage.serviceUsageConsumer", "roles/logging.viewer"} <= roles
    assert not [role for role in roles if role.endswith(("admin", "owner", "editor.editor"))]
    for line in lines:
        if "roles/storage." in line:
            assert "gs://some-project-vitrine-source " in line
        if "roles/secretmanager." in line:
            assert "vitrine-run-monitoring " in line or "vitrine-collector " in line
    page = (CLOUDRUN / "README.md").read_text()
    assert not [role for role in roles if f"`{role}`" not in page]


def test_the_broker_forgets_nothing_and_is_no_cluster(first):
    """As docs/operating.md asks of it; Dramatiq speaks to a single server."""
    (create,) = [call for call in first if call[1:4] == ["memorystore", "instances", "create"]]
    assert {
        "--mode=cluster-disabled",
        "--engine-configs=maxmemory-policy=noeviction",
        "--persistence-config-mode=aof",
    } <= set(create)


def test_the_collectors_get_their_files(ready):
    """As they lie in the folder."""
    for name, file in (
        ("vitrine-run-monitoring", "run-monitoring.yaml"),
        ("vitrine-collector", "collector.yaml"),
    ):
        assert yaml.safe_load(ready.secret(name)) == read(file)


def test_the_autoscaler_gets_a_new_version_of_its_configuration(ready):
    """Its identity is made once; the version that is deployed is the one that was written."""
    assert ready.run("autoscale.sh", STAMP="1") == 0, ready.said
    assert ready.run("autoscale.sh", STAMP="2") == 0, ready.said
    assert not ready.did("gcloud iam service-accounts create")
    (version,) = [call[5] for call in ready.calls() if call[1:5] == WRITES_VERSION]
    (deploy,) = [call for call in ready.calls() if call[1:3] == ["run", "deploy"]]
    assert any(argument.endswith(f"/versions/{version}") for argument in deploy)


WRITES_VERSION = ["parametermanager", "parameters", "versions", "create"]


def test_pages_are_made_once_and_then_kept_up_to_date(ready):
    """A second run makes none twice."""
    channel = "projects/some-project/notificationChannels/1"
    creates, updates = (f"gcloud alpha monitoring policies {verb}" for verb in ("create", "update"))
    assert ready.run("alerts.sh", channel) == 0, ready.said
    first = ready.did(creates)
    assert len(first) > 10
    assert ready.run("alerts.sh", channel) == 0, ready.said
    assert ready.did(creates) == []
    assert len(ready.did(updates)) == len(first)


def test_pages_need_somebody_to_tell(ready):
    """Without a channel nothing is made."""
    assert ready.run("alerts.sh") == 1
    assert "CHANNEL" in ready.said
    assert not ready.did("gcloud alpha monitoring policies create")
