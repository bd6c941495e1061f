"""An account that only records: what deploy/ecs/deploy.sh is run against."""

import json
import subprocess
import sys
from pathlib import Path

from tests.deploy.ecs import FOLDER
from tests.ops.tools import ROOT

TAG = "3f2a91c0d5e6"
DIGEST = "sha256:1"
REGISTRY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
LOGIN = "a-password-for-the-registry"
SETTINGS = {
    "NAME": "vitrine",
    "ENVIRONMENT": "production",
    "AWS_REGION": "eu-central-1",
    "DOMAIN_NAME": "vitrine.example.com",
    "HOSTED_ZONE_ID": "Z123",
    "GRAFANA_URL": "https://grafana.example.com",
    "RUNBOOKS_URL": "https://example.com/runbooks",
}
STACKS = {
    "registry": {"RepositoryUri": f"{REGISTRY}/vitrine-registry", "TemplatesBucket": "templates"},
    "network": {"VpcId": "vpc-1", "PrivateSubnets": "subnet-1,subnet-2"},
    "monitoring": {"WorkspaceArn": "arn:aps", "TicketsTopic": "arn:tickets"},
    "data": {"DataClientGroup": "sg-1", "DatabaseUrlSecret": "arn:secret"},
    "service": {"Url": "https://vitrine.example.com", "WorkerTaskDefinition": "worker:7"},
}


def described(stack):
    return f"aws cloudformation describe-stacks --stack-name vitrine-{stack}"


def deployed(stack):
    return f"aws cloudformation deploy --stack-name vitrine-{stack}"


def status(stack):
    return f"{described(stack)} --query Stacks[0].StackStatus"


NO_IMAGE = {"code": 254, "out": ""}
NO_STACK = {"code": 254, "out": "", "err": "Stack with id vitrine-x does not exist"}
EMPTY = {status(stack): NO_STACK for stack in STACKS}
ACCOUNT = {
    "git -C": "",
    f"git -C {ROOT} rev-parse": TAG,
    "aws ecr describe-images": NO_IMAGE,
    "aws ecr get-login-password": LOGIN,
    **{
        f"{described(stack)} --output text --query Stacks[0].Outputs": "\t".join(
            f"{name}={value}" for name, value in outputs.items()
        )
        for stack, outputs in STACKS.items()
    },
    **{status(stack): "UPDATE_COMPLETE" for stack in STACKS},
    f"{described('service')} --output text --query Stacks[0].Parameters": f"{REGISTRY}/v:{TAG}",
    "aws ecs list-tasks": "None",
}


class Account:
    """Runs deploy.sh against an account and a registry that only record what they are asked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        programs = folder / "bin"
        programs.mkdir()
        for name in ("aws", "docker", "git"):
            (programs / name).symlink_to(ROOT / "tests/deploy/fake_aws.py")
        (programs / "python3").symlink_to(sys.executable)

    def deploy(self, *arguments, settings=SETTINGS, answers=None):
        """What it said, and the calls that it made. answers: as fake_aws.py takes them."""
        given = "".join(f"{name}={value}\n" for name, value in settings.items())
        (self._folder / "vitrine.env").write_text(given)
        (self._folder / "answers.json").write_text(json.dumps(ACCOUNT | (answers or {})))
        (self._folder / "calls").write_text("")
        variables = {
            "PATH": f"{self._folder / 'bin'}:/usr/bin:/bin",
            "VITRINE_ENV": str(self._folder / "vitrine.env"),
            "FAKE_CALLS": str(self._folder / "calls"),
            "FAKE_ANSWERS": str(self._folder / "answers.json"),
            "TMPDIR": str(self._folder),
        }
        done = subprocess.run(
            [str(FOLDER / "deploy.sh"), *arguments],
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        lines = (self._folder / "calls").read_text().splitlines()
        return done, list(map(json.loads, lines))


def changing(calls):
    """The calls that change something, in short."""
    said = [" ".join(call["command"]) for call in calls]
    return [
        " ".join(line.split()[:5]) if line.startswith("aws cloudformation") else line
        for line in said
        if "describe" not in line and not line.startswith("git ") and "get-login" not in line
    ]


def parameters(calls, stack):
    """Name → value of what a stack was deployed with, at last."""
    return deployments(calls, stack)[-1]


def deployments(calls, stack):
    """The same of each time that it was deployed."""
    commands = [call["command"] for call in calls]
    given = [
        command[command.index("--parameter-overrides") + 1 :]
        for command in commands
        if " ".join(command).startswith(deployed(stack))
    ]
    return [dict(item.split("=", 1) for item in items) for items in given]
