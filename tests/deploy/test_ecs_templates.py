"""The templates of deploy/ecs: cfn-lint, IAM, secrets and buckets."""

import ipaddress
import json
import re
from collections.abc import Iterator

from deploy.ecs import rules
from tests.deploy.cloudformation import Template
from tests.deploy.command import run
from tests.deploy.ecs import (
    BIN,
    FILES,
    FOLDER,
    PARAMETERS,
    as_list,
    containers,
    environment,
    service,
)
from tests.deploy.environment import SECRETS, is_secret, settings_of

MAX_BYTES = 51_200  # of a template that is sent without a bucket
TASKS = ("ApiTask", "WorkerTask")
UNSCOPED = {"ecr:GetAuthorizationToken", "xray:PutTraceSegments"}  # AWS accepts only * for these


def templates() -> Iterator[Template]:
    for path in FILES:
        known = Template(path).raw.get("Parameters", {})
        yield Template(path, **{name: PARAMETERS[name] for name in known if name in PARAMETERS})


def statements(template):
    for policy in template.of_type("AWS::IAM::ManagedPolicy").values():
        yield from policy["PolicyDocument"]["Statement"]
    for role in template.of_type("AWS::IAM::Role").values():
        for policy in role.get("Policies", []):
            yield from policy["PolicyDocument"]["Statement"]


def test_cfn_lint_finds_nothing(tmp_path):
    """In any template, the generated one included; no rule is disabled."""
    generated = tmp_path / "rules.json"
    generated.write_text(json.dumps(rules.template()))
    options = ["--format", "parseable", "--include-checks", "W", "--"]
    done = run(BIN / "cfn-lint", *options, *FILES, generated)
    assert (done.returncode, done.stdout) == (0, "")


def test_settings_that_are_secrets_come_from_the_secret_store():
    for task in TASKS:
        for container in containers(service(), task).values():
            assert not any(map(is_secret, environment(container)))
            assert all(is_secret(item["Name"]) for item in container.get("Secrets", []))
    api = environment(containers(service(), "ApiTask")["api"])
    assert ipaddress.ip_network(api["FORWARDED_ALLOW_IPS"]).prefixlen > 0


def test_no_password_is_a_parameter_or_an_output():
    """The URLs refer to the passwords in the secret store, and are accepted by the settings."""
    data = Template(FOLDER / "data.yaml", BrokerNodes="2")
    assert not [name for name in data.raw["Parameters"] if "assword" in name or "Token" in name]
    for output in data.raw["Outputs"].values():
        assert "resolve:" not in str(data.evaluate(output["Value"]))
    urls = {}
    for name, secret in data.of_type("AWS::SecretsManager::Secret").items():
        url = secret.get("SecretString", "")
        url = re.sub(r"\{\{resolve:secretsmanager:\w+:SecretString:password\}\}", "word", url)
        url = url.replace("Database.Endpoint.Port", "5432")
        urls[name] = url.replace("Broker.PrimaryEndPoint.Port", "6379")
    keys = urls["TokenKeys"].replace("word", "0" * 64)
    assert [key_id for key_id, _ in settings_of({"TOKEN_KEYS": keys}).token_secrets] == ["a1", "b1"]
    settings = settings_of(
        {"DATABASE_URL": urls["DatabaseUrl"], "REDIS_URL": urls["BrokerUrl"], "TOKEN_KEYS": keys}
    )
    assert settings.database_url.get_secret_value().startswith("postgresql+asyncpg://vitrine:word@")
    assert settings.broker_url.startswith("rediss://:word@")


def test_each_step_of_a_rotation_of_the_key_of_tokens_knows_the_keys_of_the_one_before():
    """Tasks of two steps run side by side: what one signs the other accepts."""

    def keys(**parameters: str) -> list[str]:
        secrets = Template(FOLDER / "data.yaml", **parameters)
        text = secrets.of_type("AWS::SecretsManager::Secret")["TokenKeys"]["SecretString"]
        return [key.partition(":")[0] for key in text.split(",")]

    first, second = keys(), keys(SigningKey="B")
    third = keys(SigningKey="B", SigningKeyARevision="2")
    assert (first, second, third) == (["a1", "b1"], ["b1", "a1"], ["b1", "a2"])


def test_policies_have_no_wildcards():
    """But for resources of the actions for which AWS accepts nothing else."""
    unscoped = set()
    for template in templates():
        for statement in statements(template):
            actions = as_list(statement["Action"])
            assert statement["Effect"] == "Allow"
            assert not [action for action in actions if "*" in action]
            if "*" in as_list(statement["Resource"]):
                unscoped |= set(actions)
    assert unscoped == UNSCOPED


def test_mail_documents_and_a_provider_are_parameters_of_the_api():
    """Without them neither the variables nor the way to a mail server is there."""

    def api(**changes: str) -> tuple[dict[str, str], set[int]]:
        template = service(**changes)
        defined = containers(template, "ApiTask")["api"]
        secrets = {item["Name"]: SECRETS[item["Name"]] for item in defined["Secrets"]}
        group = template.of_type("AWS::EC2::SecurityGroup")["ApiGroup"]
        ports = {rule["ToPort"] for rule in group["SecurityGroupEgress"]}
        return environment(defined) | secrets | {"HOST": "0.0.0.0"}, ports

    plain, ports = api()
    assert not {"SMTP_URL", "MAIL_FROM", "USER_DOCUMENT", "OIDC_ISSUER"} & plain.keys()
    assert ports == {443}
    given, ports = api(
        Registration="open",
        UserDocument="br.cpf,br.cnpj",
        SmtpUrlSecret="arn:smtp",
        MailFrom="vitrine@example.org",
        OidcIssuer="https://login.example.org",
        OidcAudience="vitrine",
    )
    settings = settings_of(given)
    assert settings.user_document == ("br.cpf", "br.cnpj")
    assert settings.smtp_url is not None
    assert settings.public_url == f"https://{PARAMETERS['DomainName']}"
    assert (settings.registration, settings.oidc_audience) == ("open", "vitrine")
    assert ports == {443, 465, 587}


def test_no_task_may_read_secrets_and_the_execution_role_reads_those_of_the_tasks():
    for sentry in (PARAMETERS["SentryDsnSecret"], ""):
        template = service(SentryDsnSecret=sentry)
        actions = {
            name: {
                action
                for policy in role.get("Policies", [])
                for statement in policy["PolicyDocument"]["Statement"]
                for action in as_list(statement["Action"])
            }
            for name, role in template.of_type("AWS::IAM::Role").items()
        }
        assert actions["ApiRole"] == set()
        assert actions["WorkerRole"] == {"logs:CreateLogStream", "logs:PutLogEvents"}
        named = {
            item["ValueFrom"]
            for task in TASKS
            for container in containers(template, task).values()
            for item in container.get("Secrets", [])
        }
        (read,) = (one for one in statements(template) if one["Sid"] == "Secrets")
        assert set(read["Resource"]) == named
    tasks = service().of_type("AWS::ECS::TaskDefinition").values()
    assert {(task["TaskRoleArn"], task["ExecutionRoleArn"]) for task in tasks} == {
        ("ApiRole.Arn", "ExecutionRole.Arn"),
        ("WorkerRole.Arn", "ExecutionRole.Arn"),
    }


def test_buckets_are_private_encrypted_and_expire():
    for template in templates():
        policies = {
            policy["Bucket"]: policy["PolicyDocument"]["Statement"]
            for policy in template.of_type("AWS::S3::BucketPolicy").values()
        }
        for name, bucket in template.of_type("AWS::S3::Bucket").items():
            assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
            assert bucket["BucketEncryption"]
            assert "ExpirationInDays" in bucket["LifecycleConfiguration"]["Rules"][0]
            (deny,) = policies[name]
            assert deny["Effect"] == "Deny"
            assert deny["Condition"]["Bool"]["aws:SecureTransport"] == "false"
