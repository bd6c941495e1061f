"""What the tests of deploy/ecs/ share: its templates with example values, and parts of them."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

from tests.deploy.cloudformation import Template
from tests.ops.tools import ROOT

BIN = Path(sys.executable).parent  # linters come with what tests need
FOLDER = ROOT / "deploy/ecs"
FILES = sorted(FOLDER.glob("*.yaml"))
VALUES = {
    "Image": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/vitrine-registry:3f2a91c",
    "RepositoryArn": "arn:aws:ecr:eu-central-1:123456789012:repository/vitrine-registry",
    "VpcCidr": "10.20.0.0/16",
    "StorageBucket": "vitrine-storage",
    "WorkspaceUrl": "https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-1/",
    "SentryDsnSecret": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:sentry",
    "DomainName": "vitrine.example.com",
    "HostedZoneId": "Z123",
}


def service(**changes: str) -> Template:
    """service.yaml, filled in."""
    return Template(FOLDER / "service.yaml", **VALUES | changes)


def containers(template: Template, task: str) -> dict[str, Any]:
    """Name → definition of the containers of a task definition."""
    defined = template.of("AWS::ECS::TaskDefinition")[task]["ContainerDefinitions"]
    return {container["Name"]: container for container in defined}


def environment(container: dict[str, Any]) -> dict[str, str]:
    """What a container gets in the open."""
    return {item["Name"]: item["Value"] for item in container["Environment"]}


def attributes(listed: list[dict[str, str]]) -> dict[str, str]:
    """Key → value, as balancers and their targets list them."""
    return {item["Key"]: item["Value"] for item in listed}


def rules_module() -> Any:
    """deploy/ecs/rules.py, which is no part of a package."""
    path = Path(FOLDER / "rules.py")
    spec = importlib.util.spec_from_file_location("ecs_rules", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
