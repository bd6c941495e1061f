"""Tasks, services and collectors of ECS: checks, ports, sandbox, storage, scaling by the age."""

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from project.observability.metrics import JOBS_OLDEST_AGE
from project.settings import Settings
from project.storage.cloud import CloudStorage
from tests.deploy import cloudrun
from tests.deploy.cloudformation import Template
from tests.deploy.ecs import FOLDER, attributes, collector_config, containers, environment, service
from tests.deploy.http_stub import StubServer, serve, serve_statuses
from tests.deploy.targets import fargate
from tests.ops.tools import need, output

TASKS = ("ApiTask", "WorkerTask")
TASK_ID = "cd189a933e5849daa93386466019ab50"
MAX_SECONDS = 120  # Fargate's bound on the time of a start and of a stop
PORT = Settings.model_fields["port"].default
GROUP = "AWS::EC2::SecurityGroup"
PEER = "Cidr|(Source|Destination)(SecurityGroup|Prefix)"  # the keys of a rule's other end
ANYWHERE, NOWHERE = "0.0.0.0/0", "255.255.255.255/32"
ROLE = {
    "AccessKeyId": "AKIDTASK",
    "SecretAccessKey": "secret",
    "Token": "token-of-the-role",
    "Expiration": "2099-01-01T00:00:00Z",
}


@pytest.fixture(scope="module")
def template() -> Template:
    return service()


@pytest.fixture(scope="module")
def api(template):
    return containers(template, "ApiTask")["api"]


def test_the_balancer_asks_the_port_of_the_settings_for_the_task_alone(template, api):
    """ECS replaces an unhealthy task; an outage of the database must not replace all of them."""
    (targets,) = template.of_type("AWS::ElasticLoadBalancingV2::TargetGroup").values()
    assert targets["HealthCheckPath"] == "/ready?scope=instance"
    (mapped,) = api["PortMappings"]
    (registered,) = template.of_type("AWS::ECS::Service")["ApiService"]["LoadBalancers"]
    ports = {mapped["ContainerPort"], registered["ContainerPort"], targets["Port"]}
    settings = fargate().api.settings
    assert ports == {settings.port} == {PORT}
    draining = attributes(targets["TargetGroupAttributes"])["deregistration_delay.timeout_seconds"]
    assert int(draining) >= settings.prediction_deadline_seconds + settings.body_timeout_seconds
    worker = containers(template, "WorkerTask")["worker"]
    assert max(api["StopTimeout"], worker["StopTimeout"], api["StartTimeout"]) <= MAX_SECONDS
    assert api["HealthCheck"]["StartPeriod"] <= api["StartTimeout"]


def flows(template: Template) -> set[tuple[object, ...]]:
    """Group, direction, ports and peer of every rule, of a group or standing alone."""
    rules = []
    for direction in ("Ingress", "Egress"):
        for name, group in template.of_type(GROUP).items():
            rules += [(name, direction, it) for it in group.get(f"SecurityGroup{direction}", [])]
        for it in template.of_type(GROUP + direction).values():
            rules.append((it["GroupId"].partition(".")[0], direction, it))
    found = set()
    for name, direction, rule in rules:
        (peer,) = [value for key, value in rule.items() if re.match(PEER, key)]
        if peer != NOWHERE:
            found.add((name, direction, rule.get("FromPort"), rule.get("ToPort"), peer))
    return found


def test_security_groups_allow_what_is_needed_and_no_more(template):
    """The world reaches the balancer alone; tasks reach HTTPS, the database and the broker."""
    data = Template(FOLDER / "data.yaml", DatabaseStandby="true")
    assert flows(template) | flows(data) == {
        ("BalancerGroup", "Ingress", 80, 80, ANYWHERE),
        ("BalancerGroup", "Ingress", 443, 443, ANYWHERE),
        ("BalancerGroup", "Egress", PORT, PORT, "ApiGroup.GroupId"),
        ("ApiGroup", "Ingress", PORT, PORT, "BalancerGroup.GroupId"),
        ("ApiGroup", "Egress", 443, 443, ANYWHERE),
        ("WorkerGroup", "Egress", 443, 443, ANYWHERE),
        ("DataClientGroup", "Egress", 5432, 5432, "DatabaseGroup.GroupId"),
        ("DataClientGroup", "Egress", 6379, 6379, "BrokerGroup.GroupId"),
        ("DatabaseGroup", "Ingress", 5432, 5432, "DataClientGroup.GroupId"),
        ("BrokerGroup", "Ingress", 6379, 6379, "DataClientGroup.GroupId"),
    }
    groups = template.of_type(GROUP) | data.of_type(GROUP)
    unbounded = {name for name, group in groups.items() if "SecurityGroupEgress" not in group}
    assert unbounded == {"DatabaseGroup", "BrokerGroup"}  # AWS opens such a group to everywhere
    for name, one in template.of_type("AWS::ECS::Service").items():
        used = one["NetworkConfiguration"]["AwsvpcConfiguration"]["SecurityGroups"]
        assert used == [f"{name.replace('Service', 'Group')}.GroupId", "<DataClientGroup>"]


def test_a_release_that_fails_is_undone_and_workers_are_first(template):
    """New tasks are healthy before old ones stop; new workers know the old API's jobs."""
    spot = service(WorkerCapacity="FARGATE_SPOT").of_type("AWS::ECS::Service")
    for one in (*template.of_type("AWS::ECS::Service").values(), *spot.values()):
        rolling = one["DeploymentConfiguration"]
        assert rolling["MinimumHealthyPercent"] == 100
        assert rolling["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
        first, *others = one["CapacityProviderStrategy"]  # the first worker exposes the age
        assert first["CapacityProvider"] == "FARGATE"
        assert first.get("Base", 0) >= len(others)
        assert len(others) == (one is spot["WorkerService"])
    assert "WorkerService" in template.raw["Resources"]["ApiService"]["DependsOn"]


def test_the_container_check_needs_readiness_once(tmp_path, template, api):
    """The script is run: unhealthy until ready, from then on healthy while the process lives."""
    kind, script = api["HealthCheck"]["Command"]
    assert kind == "CMD-SHELL"
    statuses = {"/ready": 503, "/health": 200}
    with serve(serve_statuses(statuses)) as stub:
        alive = f"from urllib.request import urlopen; urlopen('{stub.url}/health')"
        local = script.replace("/tmp/", f"{tmp_path}/").replace(f":{PORT}/", f":{stub.port}/")
        local = local.replace("python -m project.healthcheck", f'python -c "{alive}"')
        assert alive in local
        assert str(stub.port) in local.splitlines()[1]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

        def is_healthy():
            command = ["/bin/sh", "-c", local]
            done = subprocess.run(command, env={"PATH": path}, capture_output=True, check=False)
            return done.returncode == 0

        assert not is_healthy()
        statuses["/ready"] = 200
        assert is_healthy()
        statuses["/ready"] = 503
        assert is_healthy()
        statuses["/health"] = 500
        assert not is_healthy()
    (waits,) = [
        one
        for one in containers(template, "ApiTask").values()
        if {"ContainerName": "api", "Condition": "HEALTHY"} in one.get("DependsOn", [])
    ]
    assert not waits["Essential"]  # it holds up the task's start, and ends


@pytest.mark.parametrize(("task", "main"), [("ApiTask", "api"), ("WorkerTask", "worker")])
def test_containers_are_restricted(template, task, main):
    """A read-only root, no capabilities, a log group that expires, memory within the task's."""
    found = containers(template, task)
    groups = template.of_type("AWS::Logs::LogGroup")
    for name, container in found.items():
        assert container["ReadonlyRootFilesystem"]
        assert container["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}
        assert container.get("User", "10001:10001") == ("0:0" if name == "tmp" else "10001:10001")
        options = container["LogConfiguration"]["Options"]
        assert groups[options["awslogs-group"]]["RetentionInDays"]
        assert options["mode"] == "non-blocking"
    assert [name for name, one in found.items() if one["Essential"]] == [main]
    assert {"ContainerName": "tmp", "Condition": "SUCCESS"} in found[main]["DependsOn"]
    assert found[main]["MountPoints"] == found["tmp"]["MountPoints"]
    defined = template.of_type("AWS::ECS::TaskDefinition")[task]
    assert sum(one.get("Memory", 0) for one in found.values()) <= int(defined["Memory"])
    assert defined["RuntimePlatform"]["CpuArchitecture"] == "X86_64"  # bf16


def test_files_are_stored_and_signed_with_the_tasks_role(tmp_path, monkeypatch, api):
    """No key is in the environment; the region is the one that the template sets."""
    variables = environment(api)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    monkeypatch.setenv("AWS_REGION", variables["AWS_REGION"])
    token = tmp_path / "token"
    token.write_text("of the container")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(token))

    def respond(request, _):
        return (
            200,
            {"ETag": '"1"'},
            json.dumps(ROLE).encode() if request.line.startswith("GET") else b"",
        )

    with serve(StubServer(respond)) as stub:
        # On Fargate they come from 169.254.170.2, by the variable with RELATIVE in its name.
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{stub.url}/role")
        monkeypatch.setenv("AWS_ENDPOINT_URL", stub.url)
        storage = CloudStorage(variables["STORAGE_URL"], 900)
        asyncio.run(storage.put("jobs/1", b"a picture", "image/png"))
        url = asyncio.run(storage.url("jobs/1", "image/png", "1.png"))
    bucket = variables["STORAGE_URL"].removeprefix("s3://")
    (put,) = [request for request in stub.requests if request.path == f"/{bucket}/jobs/1"]
    headers = {name.lower(): value for name, value in put.headers.items()}
    assert f"Credential={ROLE['AccessKeyId']}/" in headers["authorization"]
    assert f"/{variables['AWS_REGION']}/s3/" in headers["authorization"]
    assert headers["x-amz-security-token"] == ROLE["Token"]
    assert parse_qs(urlsplit(url).query)["X-Amz-Security-Token"] == [ROLE["Token"]]


@pytest.mark.parametrize("name", [*TASKS, "Cloud Run"])
def test_pipelines_use_every_part_that_is_configured(template, name):
    """A part that is not configured stops the collector; memory is limited first."""
    is_ecs = name in TASKS
    config = collector_config(template, name) if is_ecs else cloudrun.load("collector.yaml")
    used = {kind: set() for kind in ("receivers", "processors", "exporters")}
    for pipeline in config["service"]["pipelines"].values():
        for kind, names in used.items():
            names |= set(pipeline[kind])
        assert pipeline["processors"][0] == "memory_limiter"
    for kind, names in used.items():
        assert names == set(config[kind])
    assert set(config["service"]["extensions"]) == set(config["extensions"])


@pytest.mark.parametrize("task", TASKS)
def test_every_task_is_an_instance_of_its_own(tmp_path, template, task):
    """All scrape the same address, so `instance` is the id in the address of ECS' metadata."""
    text = yaml.safe_dump(collector_config(template, task)["receivers"]["prometheus"]["config"])
    url = f"http://169.254.170.2/v4/{TASK_ID}-2495160603"
    path = tmp_path / "prometheus.yml"
    path.write_text(text.replace("${env:ECS_CONTAINER_METADATA_URI_V4}", url))
    assert "SUCCESS" in output(need("promtool"), "check", "config", str(path))
    (job,) = yaml.safe_load(path.read_text())["scrape_configs"]
    (rule,) = job["relabel_configs"]
    (label,) = rule["source_labels"]
    assert rule["target_label"] == "instance"
    assert re.fullmatch(rule["regex"], job["static_configs"][0]["labels"][label])[1] == TASK_ID


def test_the_age_of_the_queue_scales_the_workers(template):
    """The collector sends one metric to CloudWatch, and both alarms read that one."""
    config = collector_config(template, "WorkerTask")
    name = JOBS_OLDEST_AGE.name
    assert config["processors"]["filter/age"]["metrics"]["metric"] == [f'name != "{name}"']
    sent = config["exporters"]["awsemf"]
    (declared,) = sent["metric_declarations"]
    assert declared["metric_name_selectors"] == [f"^{name}$"]
    assert declared["dimensions"] == [list(JOBS_OLDEST_AGE.labels)]
    assert config["service"]["pipelines"]["metrics/scaling"]["exporters"] == ["awsemf"]
    assert sent["log_group_name"] in template.of_type("AWS::Logs::LogGroup")
    alarms = template.of_type("AWS::CloudWatch::Alarm")
    up, down = alarms["JobsWait"], alarms["JobsDoNotWait"]
    assert down["Threshold"] < up["Threshold"]
    policies = template.of_type("AWS::ApplicationAutoScaling::ScalingPolicy")
    for alarm, sign in ((up, 1), (down, -1)):
        (query,) = alarm["Metrics"]  # every worker sends the same number of each queue
        assert (
            query["Expression"] == f'SELECT MAX({name}) FROM SCHEMA("{sent["namespace"]}", queue)'
        )
        assert alarm["TreatMissingData"] == "notBreaching"
        steps = policies[alarm["AlarmActions"][0]]["StepScalingPolicyConfiguration"]
        assert all(step["ScalingAdjustment"] * sign > 0 for step in steps["StepAdjustments"])
    assert template.raw["Parameters"]["WorkerLeast"]["MinValue"] == 1  # with none there is no age
