"""deploy/ecs/deploy.sh: in which order it does what, what it leaves alone, and how it fails."""

import subprocess

import pytest

from project import __version__
from tests.deploy.ecs import BIN, FOLDER
from tests.deploy.ecs_account import (
    DIGEST,
    EMPTY,
    LOGIN,
    NO_STACK,
    REGISTRY,
    SETTINGS,
    STACKS,
    TAG,
    Account,
    changing,
    deployed,
    deployments,
    parameters,
    status,
)
from tests.ops.tools import ROOT


@pytest.fixture(scope="module")
def deploy(tmp_path_factory):
    return Account(tmp_path_factory.mktemp("account")).deploy


def test_shellcheck_finds_nothing():
    """In the script as it is."""
    done = subprocess.run(
        [str(BIN / "shellcheck"), str(FOLDER / "deploy.sh")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.fixture(scope="module")
def first(deploy):
    """Everything, in an account where nothing is."""
    return deploy(answers=EMPTY)


def test_everything_in_order(first):
    """The registry before the image, what others refer to before them, the service at last."""
    done, calls = first
    assert done.returncode == 0, done.stderr
    uri = f"{REGISTRY}/vitrine-registry"
    named = f"--build-arg REVISION={TAG} --build-arg VERSION={__version__} --tag {uri}:{TAG}"
    build = f"docker build --platform linux/amd64 {named} {ROOT}"
    assert changing(calls) == [
        deployed("registry"),
        build,
        f"docker login --username AWS --password-stdin {REGISTRY}",
        f"docker push {uri}:{TAG}",
        *map(deployed, ("network", "monitoring", "rules", "data", "data", "service", "service")),
        "aws ecs wait services-stable --cluster vitrine-service --services api worker",
    ]
    assert "https://vitrine.example.com" in done.stdout


def test_outputs_become_parameters(first):
    """What a stack tells goes to those that take it, under the same name."""
    _, calls = first
    for name, value in STACKS["network"].items() | STACKS["monitoring"].items():
        assert parameters(calls, "data")[name] == value
    given = parameters(calls, "service")
    for stack in ("registry", "network", "monitoring", "data"):
        assert STACKS[stack].items() <= given.items()
    assert given["Image"] == f"{REGISTRY}/vitrine-registry:{TAG}"
    assert parameters(calls, "rules")["WorkspaceArn"] == "arn:aps"


def test_what_is_there_is_left_alone(deploy):
    """The second time no image is built, and stacks without a change are no failure."""
    done, calls = deploy(answers={"aws ecr describe-images": DIGEST})
    assert done.returncode == 0
    assert not [line for line in changing(calls) if line.startswith("docker")]
    deploying = [call["command"] for call in calls if "deploy" in call["command"]]
    assert all("--no-fail-on-empty-changeset" in command for command in deploying)


def test_a_network_of_ones_own_is_used(deploy):
    """No VPC is made; all four settings are wanted."""
    own = {"VPC_ID": "vpc-9", "VPC_CIDR": "10.0.0.0/16", "PUBLIC_SUBNETS": "a,b"}
    done, _ = deploy(settings=SETTINGS | own)
    assert "PRIVATE_SUBNETS" in done.stderr
    done, calls = deploy(settings=SETTINGS | own | {"PRIVATE_SUBNETS": "c,d"})
    assert done.returncode == 0
    assert deployed("network") not in changing(calls)
    assert parameters(calls, "service")["VpcId"] == "vpc-9"


@pytest.mark.parametrize(
    ("broken", "last"),
    [
        (deployed("registry"), deployed("registry")),
        ("docker build", "docker build"),
        ("docker login", "docker login"),
        ("docker push", "docker push"),
        (deployed("data"), deployed("data")),
        ("aws ecs wait services-stable", "aws ecs wait services-stable"),
    ],
)
def test_it_stops_at_what_fails(deploy, broken, last):
    """Nothing after it is done, and it ends with a failure."""
    done, calls = deploy(answers={broken: {"code": 1, "out": ""}})
    assert done.returncode != 0
    assert [line for line in changing(calls) if "list-tasks" not in line][-1].startswith(last)


def test_it_says_why_a_stack_failed(deploy):
    """CloudFormation's reason, and ECS' where it is the service."""
    events = "2026-11-22 ApiService DEPLOYMENT_FAILED: tasks failed to start"
    done, _ = deploy(
        answers={
            deployed("service"): {"code": 255, "out": ""},
            "aws cloudformation describe-stack-events --stack-name vitrine-service": events,
            "aws ecs describe-services": "(service api) was unable to start",
            "aws ecs list-tasks": "arn:task/1",
            "aws ecs describe-tasks": "Essential container in task exited",
        }
    )
    assert done.returncode != 0
    for words in (events, "unable to start", "Essential container in task exited"):
        assert words in done.stdout


def test_what_is_made_is_protected_only_once_it_stands(first, deploy):
    """Or CloudFormation could not take back a first making that fails; who says otherwise wins."""
    for stack in ("data", "service"):
        given = [one["DeletionProtection"] for one in deployments(first[1], stack)]
        assert given == ["false", "true"]
    assert "DeletionProtection" not in parameters(first[1], "network")
    _, calls = deploy()
    assert [one["DeletionProtection"] for one in deployments(calls, "data")] == ["true"]
    own = SETTINGS | {"PARAMETERS": "DeletionProtection=false"}
    for answers in ({}, EMPTY):
        _, calls = deploy(settings=own, answers=answers)
        assert {one["DeletionProtection"] for one in deployments(calls, "data")} == {"false"}


def test_what_cannot_be_asked_is_not_taken_for_nothing(deploy):
    """A stack that is there would lose its protection for a moment."""
    refused = {"code": 254, "out": "", "err": "Rate exceeded"}
    done, calls = deploy("stack", "data", answers={status("data"): refused})
    assert done.returncode != 0
    assert "Rate exceeded" in done.stderr
    assert changing(calls) == []


@pytest.mark.parametrize("known", ["before", "after"])
def test_what_cannot_be_taken_back_is_let_go_by_hand(deploy, known):
    """The commands are printed, with the names of what is protected; none is run."""
    answers = {
        status("data"): "ROLLBACK_FAILED" if known == "before" else [NO_STACK, "ROLLBACK_FAILED"],
        deployed("data"): {"code": 255, "out": ""},
        "aws cloudformation describe-stack-resources": "a-name",
    }
    done, calls = deploy("stack", "data", answers=answers)
    assert done.returncode != 0
    for words in (
        "aws elbv2 modify-load-balancer-attributes --load-balancer-arn a-name --attributes",
        "Key=deletion_protection.enabled,Value=false",
        "aws rds modify-db-instance --db-instance-identifier a-name --no-deletion-protection",
        "aws cloudformation delete-stack --stack-name vitrine-data",
    ):
        assert words in done.stdout
    assert changing(calls) == ([] if known == "before" else [deployed("data")])
    assert "is there again" not in done.stderr


def test_a_stack_that_was_never_made_is_made_anew(deploy):
    """CloudFormation updates nothing whose first making failed."""
    _, calls = deploy(answers={status("data"): "ROLLBACK_COMPLETE"})
    lines = changing(calls)
    begin = lines.index("aws cloudformation delete-stack --stack-name vitrine-data")
    assert "wait stack-delete-complete" in lines[begin + 1]
    assert lines[begin + 2] == deployed("data")


def test_no_secret_is_read_or_shown(first):
    """Not even the registry's password stands in an argument; docker gets it by a pipe."""
    done, calls = first
    assert LOGIN not in done.stdout + done.stderr
    for call in calls:
        assert LOGIN not in call["command"]
        assert "secretsmanager" not in call["command"]
    assert [call["stdin"] for call in calls if "login" in call["command"]] == [LOGIN]
