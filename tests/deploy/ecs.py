"""The templates of deploy/ecs with example values, and their parts."""

import sys
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.cloudformation import Template
from tests.ops.tools import ROOT

BIN = Path(sys.executable).parent  # linters are installed beside Python
FOLDER = ROOT / "deploy/ecs"
FILES = sorted(FOLDER.glob("*.yaml"))
PARAMETERS = {
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
    return Template(FOLDER / "service.yaml", **PARAMETERS | changes)


def containers(template: Template, task: str) -> dict[str, Any]:
    defined = template.of_type("AWS::ECS::TaskDefinition")[task]["ContainerDefinitions"]
    return {container["Name"]: container for container in defined}


def environment(container: dict[str, Any]) -> dict[str, str]:
    return {item["Name"]: str(item["Value"]) for item in container.get("Environment", [])}


def attributes(listed: list[dict[str, str]]) -> dict[str, str]:
    return {item["Key"]: item["Value"] for item in listed}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def collector_config(template: Template, task: str) -> dict[str, Any]:
    variables = environment(containers(template, task)["collector"])
    return yaml.safe_load(variables["AOT_CONFIG_CONTENT"])
