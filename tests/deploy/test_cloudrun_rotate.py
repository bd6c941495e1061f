"""rotate.sh: another secret, where it belongs and nowhere else."""

import pytest
import yaml

from tests.deploy.cloudrun_project import Project

SECRETS = {"database": "vitrine-database-url", "admin-token": "vitrine-admin-token"}


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """A project that setup.sh has been through."""
    project = Project(tmp_path_factory.mktemp("ready") / "project")
    assert project.run("setup.sh") == 0, project.said
    return project


@pytest.fixture
def project(ready, tmp_path):
    """The same, for one test."""
    return ready.copy(tmp_path / "project")


def password(project):
    """What the database was told."""
    return yaml.safe_load((project.state / "password").read_text())["--password"]


def kept(project):
    """Name → value of both secrets."""
    return {name: project.secret(secret) for name, secret in SECRETS.items()}


def test_the_database_and_its_address_get_one_new_password(project):
    """All else of the address stays."""
    old, before = password(project), kept(project)
    assert project.run("rotate.sh", "database") == 0, project.said
    assert password(project) != old
    assert len(password(project)) == 40
    changed = before["database"].replace(old, password(project))
    assert kept(project) == before | {"database": changed}


def test_the_token_is_another(project):
    """And the database keeps its password."""
    before = kept(project)
    assert project.run("rotate.sh", "admin-token") == 0, project.said
    assert len(kept(project)["admin-token"]) == 40
    assert kept(project)["admin-token"] != before["admin-token"]
    assert kept(project)["database"] == before["database"]


@pytest.mark.parametrize("what", SECRETS)
def test_nobody_sees_the_new_secret(project, what):
    """Not on a command line, and not in what is said."""
    assert project.run("rotate.sh", what) == 0, project.said
    seen = project.said + str(project.calls())
    assert "versions" in seen
    for hidden in (password(project), kept(project)["admin-token"]):
        assert hidden not in seen


def test_what_broke_off_between_the_two_says_so_and_is_mended_by_another_run(project):
    """The database would refuse whatever starts meanwhile."""
    broken = "secrets versions add"
    assert project.run("rotate.sh", "database", FAKE_BROKEN=broken) == 1
    assert "run this again" in project.said
    assert project.run("rotate.sh", "database") == 0
    assert f":{password(project)}@" in project.secret("vitrine-database-url")


@pytest.mark.parametrize("arguments", [(), ("everything",)])
def test_what_it_does_not_know_it_does_not_touch(project, arguments):
    """It says what it knows."""
    assert project.run("rotate.sh", *arguments) == 1
    assert "admin-token" in project.said
    assert project.calls() == []


def test_where_there_is_no_database_none_is_made(tmp_path):
    """A typing mistake in PROJECT_ID makes no secret elsewhere."""
    project = Project(tmp_path / "project")
    for what in SECRETS:
        assert project.run("rotate.sh", what) == 1
    assert project.did("gcloud sql", "gcloud secrets create", "gcloud secrets versions") == []
