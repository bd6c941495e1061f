"""Runs deploy/ecs/deploy.sh against a fake AWS account that records its calls."""

import json
import subprocess
import sys
from pathlib import Path

from tests.deploy.command import run
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
OUTPUTS = {
    "registry": {"RepositoryUri": f"{REGISTRY}/vitrine-registry", "TemplatesBucket": "templates"},
    "network": {"VpcId": "vpc-1", "PrivateSubnets": "subnet-1,subnet-2"},
    "monitoring": {"WorkspaceArn": "arn:aps", "TicketsTopic": "arn:tickets"},
    "data": {"DataClientGroup": "sg-1", "DatabaseUrlSecret": "arn:secret"},
    "service": {"Url": "https://vitrine.example.com", "WorkerTaskDefinition": "worker:7"},
}


def describe(stack):
    return f"aws cloudformation describe-stacks --stack-name vitrine-{stack}"


def deploy(stack):
    return f"aws cloudformation deploy --stack-name vitrine-{stack}"


def status(stack):
    return f"{describe(stack)} --query Stacks[0].StackStatus"


NO_IMAGE = {"code": 254, "out": ""}
NO_STACK = {"code": 254, "out": "", "err": "Stack with id vitrine-x does not exist"}
EMPTY = {status(stack): NO_STACK for stack in OUTPUTS}
ANSWERS = {  # an account in which everything was deployed before, but not this image
    "git -C": "",
    f"git -C {ROOT} rev-parse": TAG,
    "aws ecr describe-images": NO_IMAGE,
    "aws ecr get-login-password": LOGIN,
    **{
        f"{describe(stack)} --output text --query Stacks[0].Outputs": "\t".join(
            f"{name}={value}" for name, value in outputs.items()
        )
        for stack, outputs in OUTPUTS.items()
    },
    **{status(stack): "UPDATE_COMPLETE" for stack in OUTPUTS},
    f"{describe('service')} --output text --query Stacks[0].Parameters": f"{REGISTRY}/v:{TAG}",
    "aws ecs list-tasks": "None",
}


class Account:
    """Runs deploy.sh with aws, docker and git replaced by fake_aws.py."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        programs = folder / "bin"
        programs.mkdir()
        for name in ("aws", "docker", "git"):
            (programs / name).symlink_to(ROOT / "tests/deploy/fake_aws.py")
        (programs / "python3").symlink_to(sys.executable)

    def run(self, *arguments, settings=SETTINGS, answers=None):
        """Return the finished process and the calls it made. answers: as fake_aws.py reads them."""
        lines = "".join(f"{name}={value}\n" for name, value in settings.items())
        (self._folder / "vitrine.env").write_text(lines)
        (self._folder / "answers.json").write_text(json.dumps(ANSWERS | (answers or {})))
        (self._folder / "calls").write_text("")
        variables = {
            "PATH": f"{self._folder / 'bin'}:/usr/bin:/bin",
            "VITRINE_ENV": str(self._folder / "vitrine.env"),
            "FAKE_CALLS": str(self._folder / "calls"),
            "FAKE_ANSWERS": str(self._folder / "answers.json"),
            "TMPDIR": str(self._folder),
        }
        done = run(FOLDER / "deploy.sh", *arguments, env=variables, stdin=subprocess.DEVNULL)
        calls = (self._folder / "calls").read_text().splitlines()
        return done, list(map(json.loads, calls))


def changes(calls):
    lines = [" ".join(call["command"]) for call in calls]
    return [
        " ".join(line.split()[:5]) if line.startswith("aws cloudformation") else line
        for line in lines
        if "describe" not in line and not line.startswith("git ") and "get-login" not in line
    ]


def parameters(calls, stack):
    """Name to value of the parameters of each deployment of a stack, in order."""
    commands = [call["command"] for call in calls]
    overrides = [
        command[command.index("--parameter-overrides") + 1 :]
        for command in commands
        if " ".join(command).startswith(deploy(stack))
    ]
    return [dict(item.split("=", 1) for item in items) for items in overrides]
