"""deploy/ecs/deploy.sh against a fake account: order of its calls, failures, releases, rollback."""

import json
import re

import pytest
import yaml

from project import __version__
from tests.deploy import ecs_account as aws
from tests.deploy.ecs import FILES, FOLDER
from tests.deploy.ecs_account import OUTPUTS, SETTINGS, changes, deploy, parameters
from tests.ops.tools import ROOT

PAGE = (FOLDER / "README.md").read_text()
SCRIPT = (FOLDER / "deploy.sh").read_text()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return aws.Account(tmp_path_factory.mktemp("account")).run


@pytest.fixture(scope="module")
def first(run):
    return run(answers=aws.EMPTY)


def test_everything_is_deployed_in_order(first):
    """The registry before the image, and every stack after those it takes parameters from."""
    done, calls = first
    assert done.returncode == 0, done.stderr
    uri = f"{aws.REGISTRY}/vitrine-registry"
    arguments = (
        f"--build-arg REVISION={aws.TAG} --build-arg VERSION={__version__} --tag {uri}:{aws.TAG}"
    )
    stacks = ("network", "monitoring", "rules", "data", "data", "service", "service")
    assert changes(calls) == [
        deploy("registry"),
        f"docker build --platform linux/amd64 {arguments} {ROOT}",
        f"docker login --username AWS --password-stdin {aws.REGISTRY}",
        f"docker push {uri}:{aws.TAG}",
        *map(deploy, stacks),
        "aws ecs wait services-stable --cluster vitrine-service --services api worker",
    ]
    assert "https://vitrine.example.com" in done.stdout


def test_outputs_become_parameters(first):
    """A stack's outputs are the parameters of the same name of the stacks that follow."""
    _, calls = first
    data, service = parameters(calls, "data")[-1], parameters(calls, "service")[-1]
    assert (OUTPUTS["network"] | OUTPUTS["monitoring"]).items() <= data.items()
    for stack in ("registry", "network", "monitoring", "data"):
        assert OUTPUTS[stack].items() <= service.items()
    assert service["Image"] == f"{aws.REGISTRY}/vitrine-registry:{aws.TAG}"
    assert parameters(calls, "rules")[-1]["WorkspaceArn"] == "arn:aps"


def test_no_secret_is_read_or_printed(first):
    """The registry's password reaches docker by a pipe and is in no argument."""
    done, calls = first
    assert aws.LOGIN not in done.stdout + done.stderr
    for call in calls:
        assert aws.LOGIN not in call["command"]
        assert "secretsmanager" not in call["command"]
    assert [call["stdin"] for call in calls if "login" in call["command"]] == [aws.LOGIN]


def test_a_second_run_builds_no_image(run):
    done, calls = run(answers={"aws ecr describe-images": aws.DIGEST})
    assert done.returncode == 0
    assert not [line for line in changes(calls) if line.startswith("docker")]
    deploying = [call["command"] for call in calls if "deploy" in call["command"]]
    assert all("--no-fail-on-empty-changeset" in command for command in deploying)


def test_an_existing_network_is_used(run):
    network = {"VPC_ID": "vpc-9", "VPC_CIDR": "10.0.0.0/16", "PUBLIC_SUBNETS": "a,b"}
    done, _ = run(settings=SETTINGS | network)
    assert "PRIVATE_SUBNETS" in done.stderr
    done, calls = run(settings=SETTINGS | network | {"PRIVATE_SUBNETS": "c,d"})
    assert done.returncode == 0
    assert deploy("network") not in changes(calls)
    assert parameters(calls, "service")[-1]["VpcId"] == "vpc-9"


@pytest.mark.parametrize("broken", ["docker build", deploy("data"), "aws ecs wait services-stable"])
def test_it_stops_at_the_first_failure(run, broken):
    done, calls = run(answers={broken: {"code": 1, "out": ""}})
    assert done.returncode != 0
    assert [line for line in changes(calls) if "list-tasks" not in line][-1].startswith(broken)


def test_the_reason_of_a_failed_stack_is_printed(run):
    events = "2026-11-22 ApiService DEPLOYMENT_FAILED: tasks failed to start"
    done, _ = run(
        answers={
            deploy("service"): {"code": 255, "out": ""},
            "aws cloudformation describe-stack-events --stack-name vitrine-service": events,
            "aws ecs describe-services": "(service api) was unable to start",
            "aws ecs list-tasks": "arn:task/1",
            "aws ecs describe-tasks": "Essential container in task exited",
        }
    )
    assert done.returncode != 0
    for words in (events, "unable to start", "Essential container in task exited"):
        assert words in done.stdout


def test_deletion_protection_is_set_after_the_first_deployment(first, run):
    """CloudFormation could not undo a protected stack that fails; a setting takes precedence."""
    for stack in ("data", "service"):
        values = [one["DeletionProtection"] for one in parameters(first[1], stack)]
        assert values == ["false", "true"]
    assert "DeletionProtection" not in parameters(first[1], "network")[-1]
    _, calls = run()
    assert [one["DeletionProtection"] for one in parameters(calls, "data")] == ["true"]
    settings = SETTINGS | {"PARAMETERS": "DeletionProtection=false"}
    _, calls = run(settings=settings, answers=aws.EMPTY)
    assert {one["DeletionProtection"] for one in parameters(calls, "data")} == {"false"}


def test_a_status_that_cannot_be_read_stops_the_deployment(run):
    """Taken for a new stack, an existing one would lose its protection for a moment."""
    throttled = {"code": 254, "out": "", "err": "Rate exceeded"}
    done, calls = run("stack", "data", answers={aws.status("data"): throttled})
    assert done.returncode != 0
    assert "Rate exceeded" in done.stderr
    assert changes(calls) == []


@pytest.mark.parametrize("known", ["before", "after"])
def test_a_failed_rollback_prints_the_commands_that_clean_up(run, known):
    answers = {
        aws.status("data"): "ROLLBACK_FAILED"
        if known == "before"
        else [aws.NO_STACK, "ROLLBACK_FAILED"],
        deploy("data"): {"code": 255, "out": ""},
        "aws cloudformation describe-stack-resources": "a-name",
    }
    done, calls = run("stack", "data", answers=answers)
    assert done.returncode != 0
    for words in (
        "aws elbv2 modify-load-balancer-attributes --load-balancer-arn a-name --attributes",
        "Key=deletion_protection.enabled,Value=false",
        "aws rds modify-db-instance --db-instance-identifier a-name --no-deletion-protection",
        "aws cloudformation delete-stack --stack-name vitrine-data",
    ):
        assert words in done.stdout
    assert changes(calls) == ([] if known == "before" else [deploy("data")])
    assert "is there again" not in done.stderr


def test_a_stack_whose_creation_failed_is_deleted_first(run):
    _, calls = run(answers={aws.status("data"): "ROLLBACK_COMPLETE"})
    lines = changes(calls)
    begin = lines.index("aws cloudformation delete-stack --stack-name vitrine-data")
    assert "wait stack-delete-complete" in lines[begin + 1]
    assert lines[begin + 2] == deploy("data")


def test_a_rollback_deploys_an_existing_image(run):
    """Nothing is built, and nothing is deployed where the image is missing."""
    done, calls = run("rollback", "0ld", answers={"aws ecr describe-images": aws.DIGEST})
    assert done.returncode == 0
    assert parameters(calls, "service")[-1]["Image"].endswith(":0ld")
    assert changes(calls)[0] == deploy("service")
    done, calls = run("rollback", "0ld")
    assert "no image 0ld" in done.stderr
    assert changes(calls) == []


def test_a_release_deploys_the_service_alone_with_the_parameters_of_the_settings(run):
    """PARAMETERS is quoted as the shell reads it, and takes precedence over stacks' outputs."""
    own = {"PARAMETERS": '"ApiLeast=3 VpcCidr=10.9.0.0/16"', "JOBS": "off"}
    _, calls = run("release", settings=SETTINGS | own)
    lines = [line for line in changes(calls) if line.startswith("aws cloudformation")]
    assert lines == [deploy("service")]
    given = parameters(calls, "service")[-1]
    assert (given["ApiLeast"], given["VpcCidr"], given["Jobs"]) == ("3", "10.9.0.0/16", "off")
    assert given["Auth"] == "keys"


def test_a_restart_replaces_the_tasks_of_both_services_and_waits(run):
    lines = changes(run("restart")[1])
    assert ["--force-new-deployment" in line for line in lines] == [True, True, False]
    assert "wait services-stable" in lines[-1]


def test_a_command_runs_in_one_task(run):
    """Its arguments arrive unchanged, its log is printed, its exit code decides."""
    answers = {
        "aws ecs run-task": "arn:aws:ecs:eu-central-1:123456789012:task/vitrine-service/7a",
        "aws logs get-log-events": "a line of its log",
        "aws ecs describe-tasks": "0",
    }
    words = ("python", "-m", "project", "jobs", "submit", 'a "quoted" word')
    done, calls = run("run", *words, answers=answers)
    assert done.returncode == 0, done.stderr
    assert "a line of its log" in done.stdout
    (started,) = [call["command"] for call in calls if "run-task" in call["command"]]
    overrides = json.loads(started[started.index("--overrides") + 1])
    assert overrides == {"containerOverrides": [{"name": "worker", "command": list(words)}]}
    done, _ = run("run", *words, answers=answers | {"aws ecs describe-tasks": "2"})
    assert "ended with 2" in done.stderr
    assert done.returncode != 0


def test_missing_settings_and_uncommitted_changes_are_refused(run):
    for missing in ("NAME", "AWS_REGION", "HOSTED_ZONE_ID"):
        done, calls = run(settings={k: v for k, v in SETTINGS.items() if k != missing})
        assert missing in done.stderr
        assert calls == []
    done, calls = run(answers={"git -C": " M project/app.py"})
    assert "commit first" in done.stderr
    assert changes(calls) == []


def test_commands_of_the_page_are_commands_of_the_script():
    """With stacks and parameters that exist; AWS ignores a mistyped parameter."""
    commands = set(re.findall(r"deploy\.sh ([a-z]+)", PAGE))
    assert commands
    assert commands <= set(re.findall(r"^  ([a-z]+)\)", SCRIPT, re.MULTILINE))
    stacks = set(re.findall(r"deploy\.sh stack ([a-z]+)", PAGE))
    assert stacks <= {path.stem for path in FILES} | {"rules"}
    nodes = [yaml.compose(path.read_text()).value for path in FILES]
    sections = [value for node in nodes for key, value in node if key.value == "Parameters"]
    known = {key.value for section in sections for key, _ in section.value}
    for words in re.findall(r'PARAMETERS="([^"]+)"', PAGE):
        assert {word.split("=")[0] for word in words.split()} <= known


def test_the_example_has_every_setting_of_the_script_and_no_secret():
    example = (FOLDER / "vitrine.example.env").read_text()
    names = set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE))
    read = set(re.findall(r"\$\{?!?([A-Z][A-Z_]+)\b", SCRIPT))
    assert read - {"BASH_SOURCE", "VITRINE_ENV", "OLDPWD"} <= names
    assert not [name for name in names if not re.search(rf"\b{name}\b", SCRIPT)]
    assert not [name for name in names if re.search("PASSWORD|TOKEN|SECRET|DSN|URL_FILE", name)]
