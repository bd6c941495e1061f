"""The templates of deploy/ecs/: what AWS takes, who may do what, and who may reach whom."""

import ipaddress
import json
import re
import subprocess

import pytest
import yaml

from project.settings import Settings
from tests.deploy.cloudformation import Template
from tests.deploy.ecs import (
    BIN,
    FILES,
    FOLDER,
    VALUES,
    containers,
    environment,
    rules_module,
    service,
)
from tests.deploy.environment import settings_of

MAX_SENT = 51_200  # bytes of a template that needs no bucket

# Actions for which AWS knows no narrower resource than all.
EVERYWHERE = {"ecr:GetAuthorizationToken", "xray:PutTraceSegments"}
MISTAKES = {
    "TargetType: ip": "TargetType: pod",
    "!GetAtt ApiRole.Arn": "!GetAtt ApiRole.Name",
    "!Ref ApiTargets}": "!Ref ApiTarget}",
    'Memory: "4096"': 'Memory: "2048"',
}
SECRETS = {
    "DATABASE_URL": "postgresql+asyncpg://vitrine:password@db:5432/vitrine?ssl=require",
    "REDIS_URL": "rediss://:password@broker:6379/0",
    "ADMIN_TOKEN": "0123456789abcdef",
    "SENTRY_DSN": "https://key@sentry.example.com/1",
}


def lint(*paths):
    """What cfn-lint says; its exit code is not 0 where it says anything."""
    command = [BIN / "cfn-lint", "--format", "parseable", "--include-checks", "W", "--", *paths]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)


def templates():
    """All of them with their values; the bucket's and the database's policies included."""
    for path in FILES:
        known = yaml.compose(path.read_text())
        names = {key.value for key, _ in _section(known, "Parameters")}
        yield Template(path, **{name: value for name, value in VALUES.items() if name in names})


def _section(node, name):
    return next((value.value for key, value in node.value if key.value == name), [])


def statements(template):
    """Every statement of a role's policies."""
    for policy in template.of("AWS::IAM::ManagedPolicy").values():
        yield from policy["PolicyDocument"]["Statement"]
    for role in template.of("AWS::IAM::Role").values():
        for policy in role.get("Policies", []):
            yield from policy["PolicyDocument"]["Statement"]


def listed(value):
    return value if isinstance(value, list) else [value]


def test_templates_are_what_cloudformation_takes(tmp_path):
    """cfn-lint finds nothing in any of them, the generated one included; no rule is left out."""
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps(rules_module().template()))
    done = lint(*FILES, rules)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_linter_sees_what_is_wrong(tmp_path):
    """A value, an attribute, a name, a size of Fargate; or its silence would prove nothing."""
    text = (FOLDER / "service.yaml").read_text()
    for right, wrong in MISTAKES.items():
        assert right in text
        text = text.replace(right, wrong, 1)
    path = tmp_path / "service.yaml"
    path.write_text(text)
    said = re.findall(rf"^{path}:(\d+):", lint(path).stdout, re.MULTILINE)
    lines = set(map(int, said))
    for wrong in MISTAKES.values():
        line = text[: text.index(wrong)].count("\n") + 1
        assert lines & set(range(line - 8, line + 1)), wrong  # some are told of the whole object


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_templates_are_short_and_plain(path):
    """Each is sent as it is, in whatever locale the command line runs."""
    assert path.stat().st_size < MAX_SENT
    assert path.read_text().isascii()


@pytest.mark.parametrize("task", ["ApiTask", "WorkerTask"])
def test_what_a_container_is_given_are_settings_of_ours(task):
    """Names and values, the secrets included; a mistyped one would be ignored by the product."""
    for name, container in containers(service(), task).items():
        if name not in {"api", "worker"}:
            continue
        secret = {item["Name"]: item["ValueFrom"] for item in container["Secrets"]}
        assert all(
            "SecretStr" in str(Settings.model_fields[given.lower()].annotation) for given in secret
        )
        settings = settings_of(
            {key: str(value) for key, value in environment(container).items()}
            | {key: SECRETS[key] for key in secret}
            | {"HOST": "0.0.0.0"}
        )
        assert settings.environment == "production"
        assert settings.storage_url == "s3://vitrine-storage"


def test_no_secret_stands_in_the_open():
    """A setting that is a secret comes from the secret store, and the network is no wildcard."""
    for task in ("ApiTask", "WorkerTask"):
        for container in containers(service(), task).values():
            for name in environment(container) if "Environment" in container else ():
                field = Settings.model_fields.get(name.lower())
                assert field is None or "SecretStr" not in str(field.annotation)
    api = environment(containers(service(), "ApiTask")["api"])
    assert ipaddress.ip_network(api["FORWARDED_ALLOW_IPS"]).prefixlen > 0


def test_secrets_are_made_and_put_together_out_of_sight():
    """No password is a parameter or an output; each URL refers to it, and is one we take."""
    data = Template(FOLDER / "data.yaml", BrokerNodes="2")
    assert not [name for name in data.raw["Parameters"] if "assword" in name or "Token" in name]
    for output in data.raw["Outputs"].values():
        assert "resolve:" not in str(data.fill(output["Value"]))
    urls = {
        name: re.sub(r"\{\{resolve:secretsmanager:(\w+):SecretString:password\}\}", "word", given)
        for name, secret in data.of("AWS::SecretsManager::Secret").items()
        if (given := secret.get("SecretString"))
    }
    ports = {"Database.Endpoint.Port": "5432", "Broker.PrimaryEndPoint.Port": "6379"}
    for asked, port in ports.items():
        urls = {name: url.replace(asked, port) for name, url in urls.items()}
    settings = settings_of({"DATABASE_URL": urls["DatabaseUrl"], "REDIS_URL": urls["BrokerUrl"]})
    assert settings.database_url.get_secret_value().startswith("postgresql+asyncpg://vitrine:word@")
    assert settings.broker_url.startswith("rediss://:word@")


def test_another_revision_makes_other_passwords():
    """A new name is a new secret; those that tasks read keep theirs, so that any task starts."""
    first, second = (
        Template(FOLDER / "data.yaml", SecretsRevision=given).of("AWS::SecretsManager::Secret")
        for given in "12"
    )
    made = {name for name, secret in first.items() if "GenerateSecretString" in secret}
    assert made == {"DatabasePassword", "BrokerPassword", "AdminPassword"}
    changed = {name for name in first if first[name]["Name"] != second[name]["Name"]}
    assert changed == made
    for name in set(first) - made:
        assert "{{resolve:secretsmanager:" in first[name]["SecretString"]


def test_roles_may_do_little():
    """No action has a star, and a star as resource stands only where AWS knows nothing narrower."""
    seen = set()
    for template in templates():
        for statement in statements(template):
            actions = listed(statement["Action"])
            assert statement["Effect"] == "Allow"
            assert not [action for action in actions if "*" in action]
            if "*" in listed(statement["Resource"]):
                assert set(actions) <= EVERYWHERE
                seen |= set(actions)
    assert seen == EVERYWHERE


def test_the_tasks_roles_are_apart():
    """Neither the API nor a worker may read secrets; a worker alone tells the queue's age."""
    roles = service().of("AWS::IAM::Role")
    own = {
        name: {
            action
            for policy in role.get("Policies", [])
            for statement in policy["PolicyDocument"]["Statement"]
            for action in listed(statement["Action"])
        }
        for name, role in roles.items()
    }
    assert own["ApiRole"] == set()
    assert own["WorkerRole"] == {"logs:CreateLogStream", "logs:PutLogEvents"}
    assert "secretsmanager:GetSecretValue" in own["ExecutionRole"]
    tasks = service().of("AWS::ECS::TaskDefinition")
    assert {(task["TaskRoleArn"], task["ExecutionRoleArn"]) for task in tasks.values()} == {
        ("ApiRole.Arn", "ExecutionRole.Arn"),
        ("WorkerRole.Arn", "ExecutionRole.Arn"),
    }


def test_the_execution_role_reads_the_secrets_that_tasks_name_and_no_others():
    """One that is missing keeps every task from starting."""
    for sentry in (VALUES["SentryDsnSecret"], ""):
        template = service(SentryDsnSecret=sentry)
        named = {
            item["ValueFrom"]
            for task in ("ApiTask", "WorkerTask")
            for container in containers(template, task).values()
            for item in container.get("Secrets", [])
        }
        read = next(s for s in statements(template) if s["Sid"] == "Secrets")["Resource"]
        assert set(read) == named


def test_buckets_are_closed_and_take_tls_alone():
    """Every bucket: no public access, encrypted, with an end for what it keeps."""
    for template in templates():
        policies = {
            policy["Bucket"]: policy["PolicyDocument"]["Statement"]
            for policy in template.of("AWS::S3::BucketPolicy").values()
        }
        for name, bucket in template.of("AWS::S3::Bucket").items():
            assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
            assert bucket["BucketEncryption"]
            assert "ExpirationInDays" in bucket["LifecycleConfiguration"]["Rules"][0]
            (deny,) = policies[name]
            assert (deny["Effect"], deny["Condition"]["Bool"]["aws:SecureTransport"]) == (
                "Deny",
                "false",
            )
