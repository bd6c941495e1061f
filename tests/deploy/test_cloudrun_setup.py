"""setup.sh, rotate.sh, autoscale.sh and alerts.sh of Cloud Run, in a fake project."""

import re

import pytest
import yaml

from tests.deploy.cloudrun import FOLDER, load
from tests.deploy.cloudrun_project import Project
from tests.deploy.environment import settings_of

CREATING = (" create ", "versions add", "set-password")
ROTATED = {"database": "vitrine-database-url", "admin-token": "vitrine-admin-token"}


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("ready") / "project")
    assert project.run("setup.sh") == 0, project.output
    return project


@pytest.fixture
def project(ready, tmp_path):
    return ready.copy(tmp_path / "project")


@pytest.fixture(scope="module")
def lines(ready):
    return [" ".join(call) for call in ready.calls()]


def creating(lines):
    return [line for line in lines if any(word in f"{line} " for word in CREATING)]


def password(project):
    return yaml.safe_load((project.state / "password").read_text())["--password"]


def test_setup_creates_everything_once(project, lines):
    for part in ("repositories", "service-accounts", "buckets", "sql instances", "memorystore"):
        assert any(part in line for line in creating(lines)), part
    assert project.run("setup.sh") == 0, project.output
    assert creating(" ".join(call) for call in project.calls()) == []


def test_without_jobs_the_database_is_created_for_the_accounts(tmp_path):
    """No identity is named that is not created."""
    project = Project(tmp_path / "project")
    assert project.run("setup.sh", JOBS="off") == 0, project.output
    text = " ".join(" ".join(call) for call in project.calls())
    assert "sql instances create vitrine" in text
    for part in ("memorystore instances create", "vitrine-worker"):
        assert part not in text
    assert len(settings_of({"TOKEN_KEYS": project.secret("vitrine-token-keys")}).token_secrets) == 1


def test_without_jobs_and_accounts_nothing_is_created_that_only_they_need(tmp_path):
    project = Project(tmp_path / "project")
    assert project.run("setup.sh", JOBS="off", AUTH="off") == 0, project.output
    text = " ".join(creating(" ".join(call) for call in project.calls()))
    assert "service-accounts create vitrine-api" in text
    for part in ("sql", "memorystore", "network-connectivity", "vitrine-worker", "token-keys"):
        assert part not in text
    assert text.count("buckets create") == 1  # of sources
    assert not project.called("gcloud sql", "gcloud memorystore")


def test_mail_and_documents_have_secrets_where_they_are_chosen(project):
    """The key of documents is made once; the mail server's URL is the operator's, and not shown."""
    wanted = {"USER_DOCUMENT": "br.cpf", "MAIL_FROM": "v@example.org", "PUBLIC_URL": "https://v"}
    assert project.run("setup.sh", **wanted) == 1
    assert "SMTP_URL" in project.output
    url = "smtps://user:a-password@mail.example.org:465"
    assert project.run("setup.sh", **wanted, SMTP_URL=url) == 0, project.output
    assert project.secret("vitrine-smtp-url") == url
    assert "a-password" not in project.output + str(project.calls())
    key = project.secret("vitrine-document-key")
    assert project.run("setup.sh", **wanted) == 0, project.output
    assert project.secret("vitrine-document-key") == key
    assert len(key) == 40


def test_an_interrupted_setup_can_be_continued(tmp_path):
    """The database's user exists without its secret: it gets a new password, and is not doubled."""
    project = Project(tmp_path / "project")
    assert project.run("setup.sh", FAKE_BROKEN="secrets create vitrine-database-url") == 1
    assert project.run("setup.sh") == 0, project.output
    calls = project.called("gcloud sql users create", "gcloud sql users set-password")
    assert calls == ["gcloud sql users set-password"]
    assert f":{password(project)}@" in project.secret("vitrine-database-url")


def test_the_broker_loses_no_message_and_is_no_cluster(ready):
    """Dramatiq needs a single server; a replica takes over."""
    (create,) = [it for it in ready.calls() if it[1:4] == ["memorystore", "instances", "create"]]
    policy = "--engine-configs=maxmemory-policy=noeviction"
    options = {"--mode=cluster-disabled", policy, "--persistence-config-mode=aof"}
    assert options | {"--replica-count=1"} <= set(create)


def test_secrets_hold_the_addresses_that_were_created(ready):
    """The database's socket, the broker's primary, and the collectors' files."""
    assert ready.secret("vitrine-database-url").endswith(
        "@/vitrine?host=/cloudsql/some-project:europe-west1:vitrine"
    )
    assert ready.secret("vitrine-redis-url") == "redis://10.0.0.3:6379/0"
    assert yaml.safe_load(ready.secret("vitrine-collector")) == load("collector.yaml")
    sidecar = yaml.safe_load(ready.secret("vitrine-run-monitoring"))
    assert sidecar == load("run-monitoring.yaml")


def test_identities_have_no_more_roles_than_they_need(lines):
    """Signing and the operators' token are the API's alone; a build reads its own bucket."""
    (signing,) = [line for line in lines if "serviceAccountTokenCreator" in line]
    assert signing.count("vitrine-api@") == 2  # on itself, for itself
    (token,) = [line for line in lines if "add-iam-policy-binding vitrine-admin-token" in line]
    assert "vitrine-api@" in token
    assert not any("roles/editor" in line or "roles/owner" in line for line in lines)
    build = [line for line in lines if "vitrine-build@" in line]
    (storage,) = [line for line in build if "roles/storage." in line]
    assert "buckets add-iam-policy-binding gs://some-project-vitrine-source " in storage
    (project,) = [line for line in build if line.startswith("gcloud projects")]
    assert "--role=roles/logging.logWriter" in project


def test_a_releaser_administers_nothing(project):
    assert project.run("setup.sh", RELEASER="group:ml@example.com") == 0, project.output
    lines = [" ".join(call) for call in project.calls() if "ml@example.com" in " ".join(call)]
    roles = {line.split("--role=")[1].split()[0] for line in lines}
    assert {"roles/serviceusage.serviceUsageConsumer", "roles/logging.viewer"} <= roles
    assert not [role for role in roles if role.endswith(("admin", "owner", "editor.editor"))]
    for line in lines:
        if "roles/storage." in line or "roles/secretmanager." in line:
            assert re.search(r"\bvitrine-(source|run-monitoring|collector) ", line), line


def test_taking_it_down_deletes_what_the_scripts_create():
    down = (FOLDER / "README.md").read_text().split("## Take it down")[1]
    scripts = "".join(path.read_text() for path in FOLDER.glob("*.sh"))
    created = set(re.findall(r"gcloud ([a-z -]+?) create vitrine\b", scripts))
    created -= {"sql databases", "sql users", "parametermanager parameters"}  # go with another
    assert {"sql instances", "memorystore instances", "artifacts repositories"} <= created
    assert not [kind for kind in created if f"gcloud {kind} delete" not in down]
    assert down.index("--no-deletion-protection") < down.index("sql instances delete")
    secrets = set(re.findall(r"(?:put_secret|put_configuration) vitrine-([\w-]+)", scripts))
    (line,) = (line for line in down.splitlines() if "gcloud secrets delete" in line)
    assert secrets == set(line.split(" in ")[1].split(";")[0].split())


@pytest.mark.parametrize("kind", ROTATED)
def test_rotating_changes_one_secret(project, kind):
    """The database and its address get one new password; the other secret stays."""
    before = {one: project.secret(name) for one, name in ROTATED.items()}
    old = {"database": password(project), "admin-token": before["admin-token"]}[kind]
    assert project.run("rotate.sh", kind) == 0, project.output
    after = {one: project.secret(name) for one, name in ROTATED.items()}
    new = {"database": password(project), "admin-token": after["admin-token"]}[kind]
    assert len(new) == 40
    assert new != old
    assert after == before | {kind: before[kind].replace(old, new)}


def test_each_step_of_a_rotation_of_the_key_of_tokens_knows_the_keys_of_the_one_before(project):
    """Instances of two steps run side by side: what one signs the other accepts."""
    first = project.secret("vitrine-token-keys")
    seen = [first]
    for step in ("add", "sign", "remove"):
        assert project.run("rotate.sh", "token-keys", step) == 0, project.output
        seen.append(project.secret("vitrine-token-keys"))
        assert not [key for key in seen[-1].split(",") if key.partition(":")[2] in project.output]
        (old, new) = (settings_of({"TOKEN_KEYS": keys}).token_secrets for keys in seen[-2:])
        assert new[0] in old
        assert old[0] in new or step == "remove"
    assert seen[1].startswith(f"{first},")
    assert seen[3] == seen[2].partition(",")[0] == seen[1].partition(",")[2]


def test_a_step_of_a_rotation_that_is_out_of_order_changes_nothing(project):
    """It says which one comes first."""
    first = project.secret("vitrine-token-keys")
    for arguments in ((), ("sign",), ("remove",), ("everything",)):
        assert project.run("rotate.sh", "token-keys", *arguments) == 1
        assert "token-keys add" in project.output
    assert project.secret("vitrine-token-keys") == first
    assert project.run("rotate.sh", "token-keys", "add") == 0
    assert project.run("rotate.sh", "token-keys", "add") == 1


@pytest.mark.parametrize("kind", [None, *ROTATED])
def test_no_secret_is_printed_or_on_a_command_line(ready, project, kind):
    if kind:
        assert project.run("rotate.sh", kind) == 0, project.output
    seen = project if kind else ready
    text = seen.output + str(seen.calls())
    assert "secrets" in text
    names = ("vitrine-admin-token", "vitrine-first-password", "vitrine-token-keys")
    secrets = [seen.secret(name).rpartition(":")[2] for name in names]
    for hidden in (password(seen), *secrets):
        assert len(hidden) == 40
        assert hidden not in text


def test_an_interrupted_rotation_is_repaired_by_another_run(project):
    assert project.run("rotate.sh", "database", FAKE_BROKEN="secrets versions add") == 1
    assert "run this again" in project.output
    assert project.run("rotate.sh", "database") == 0
    assert f":{password(project)}@" in project.secret("vitrine-database-url")


def test_rotate_refuses_what_it_does_not_know(project, tmp_path):
    for arguments in ((), ("everything",)):
        assert project.run("rotate.sh", *arguments) == 1
        assert "admin-token" in project.output
        assert project.calls() == []
    empty = Project(tmp_path / "empty")
    for kind in ROTATED:
        assert empty.run("rotate.sh", kind) == 1
        assert creating(" ".join(call) for call in empty.calls()) == []


def test_the_autoscaler_gets_a_new_version_of_its_configuration(project):
    """Its identity is created once, and it is deployed with the version that was written."""
    writes = ["parametermanager", "parameters", "versions", "create"]
    assert project.run("autoscale.sh", STAMP="1") == 0, project.output
    assert project.run("autoscale.sh", STAMP="2") == 0, project.output
    assert not project.called("gcloud iam service-accounts create")
    (version,) = [call[5] for call in project.calls() if call[1:5] == writes]
    (deploy,) = [call for call in project.calls() if call[1:3] == ["run", "deploy"]]
    assert any(argument.endswith(f"/versions/{version}") for argument in deploy)


def test_alerts_are_created_once_and_then_updated(project):
    channel = "projects/some-project/notificationChannels/1"
    create, update = (f"gcloud alpha monitoring policies {verb}" for verb in ("create", "update"))
    assert project.run("alerts.sh") == 1
    assert "CHANNEL" in project.output
    assert not project.called(create)
    assert project.run("alerts.sh", channel) == 0, project.output
    number = len(project.called(create))
    assert number > 10
    assert project.run("alerts.sh", channel) == 0, project.output
    assert project.called(create) == []
    assert len(project.called(update)) == number
