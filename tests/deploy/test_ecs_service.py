"""What deploy/ecs/ promises at a start, a deployment and a stop, by its numbers."""

import pytest

from project.api.jobs import events
from project.api.routes import operations
from project.db.engine import CONNECTIONS
from project.resources import Resources, size
from project.settings import FLUSH_SECONDS
from tests.deploy.cloudformation import Template
from tests.deploy.ecs import FOLDER, attributes, containers, environment, service
from tests.deploy.environment import settings_of

MAX_STOP = MAX_START = 120  # seconds; Fargate's bounds
FLUSH_OF_A_WORKER = 4  # seconds after WORKER_SHUTDOWN_SECONDS
MARGIN = 5
ANYWHERE = "0.0.0.0/0"
NOWHERE = "255.255.255.255/32"
MEMORY = {"db.t4g.medium": 4 * 2**30}  # bytes
USABLE = 0.9  # of it; RDS keeps the rest for itself before it divides
SPARE = 0.2  # for migrations, operators, and what RDS itself connects
BYTES_OF_A_CONNECTION = 9_531_392  # RDS' default of max_connections for PostgreSQL


@pytest.fixture(scope="module")
def template():
    return service()


@pytest.fixture(scope="module")
def api(template):
    return containers(template, "ApiTask")["api"]


@pytest.fixture(scope="module")
def settings(api):
    """The API's settings, as the template has them."""
    return settings_of(
        {name: str(value) for name, value in environment(api).items()}
        | {"REDIS_URL": "rediss://:word@broker:6379/0"}
    )


@pytest.fixture(scope="module")
def balancer(template):
    (found,) = template.of("AWS::ElasticLoadBalancingV2::LoadBalancer").values()
    return attributes(found["LoadBalancerAttributes"])


@pytest.fixture(scope="module")
def targets(template):
    (found,) = template.of("AWS::ElasticLoadBalancingV2::TargetGroup").values()
    return found


def test_a_task_has_time_to_stop(template, api, settings):
    """ECS kills later than the product itself ends, and no later than Fargate allows."""
    asked = settings.shutdown_delay_seconds + settings.prediction_deadline_seconds + FLUSH_SECONDS
    assert asked <= settings.graceful_timeout_seconds < settings.worker_timeout_seconds
    assert settings.graceful_timeout_seconds + MARGIN <= api["StopTimeout"] <= MAX_STOP
    worker = containers(template, "WorkerTask")["worker"]
    own = settings_of({"WORKER_PROCESSES": environment(worker)["WORKER_PROCESSES"]})
    needed = own.worker_shutdown_seconds + FLUSH_OF_A_WORKER
    assert needed < worker["StopTimeout"] <= MAX_STOP


def test_the_balancer_lets_go_before_connections_do(balancer, targets, settings):
    """It neither sends into closed connections, nor cuts what is still being answered."""
    idle = int(balancer["idle_timeout.timeout_seconds"])
    assert settings.keepalive_seconds > idle
    assert idle > settings.prediction_deadline_seconds + settings.body_timeout_seconds
    assert idle > events.COMMENT_SECONDS
    draining = int(
        attributes(targets["TargetGroupAttributes"])["deregistration_delay.timeout_seconds"]
    )
    assert draining >= settings.prediction_deadline_seconds + settings.body_timeout_seconds


def test_the_check_that_kills_asks_for_the_task_alone(targets, settings):
    """ECS replaces what it calls unhealthy: no task is killed for a database that is away.

    It waits as long as Gunicorn does before it replaces a worker that hangs.
    """
    path, _, query = targets["HealthCheckPath"].partition("?")
    assert path in {route.path for route in operations.router.routes}
    assert (path, query) == ("/ready", "scope=instance")
    assert targets["HealthCheckTimeoutSeconds"] < targets["HealthCheckIntervalSeconds"]
    patience = targets["HealthCheckIntervalSeconds"] * targets["UnhealthyThresholdCount"]
    assert patience >= settings.worker_timeout_seconds


def test_ports_fit(template, api, targets, settings):
    """The port that the API listens on is mapped, registered and checked; metrics have another."""
    (mapped,) = api["PortMappings"]
    (registered,) = template.of("AWS::ECS::Service")["ApiService"]["LoadBalancers"]
    ports = {mapped["ContainerPort"], registered["ContainerPort"], targets["Port"]}
    assert ports == {settings.port}
    assert registered["ContainerName"] == api["Name"]
    assert settings.metrics_port not in {None, settings.port}


def rules(template):
    """(group, in or out, port, other side) of every rule, but those that lead nowhere."""
    for name, group in template.of("AWS::EC2::SecurityGroup").items():
        for way, key in (("in", "SecurityGroupIngress"), ("out", "SecurityGroupEgress")):
            for rule in group.get(
                key, [{"FromPort": None, "CidrIp": "all"}] if way == "out" else []
            ):
                yield (
                    name,
                    way,
                    rule["FromPort"],
                    rule.get("CidrIp") or rule["SourceSecurityGroupId"],
                )
    for rule in template.of("AWS::EC2::SecurityGroupEgress").values():
        yield (
            rule["GroupId"].split(".")[0],
            "out",
            rule["FromPort"],
            rule["DestinationSecurityGroupId"],
        )


def test_nobody_reaches_what_he_need_not(template, settings):
    """The world reaches the balancer, the balancer the API, tasks AWS and their data; no more."""
    found = {rule for rule in rules(template) if rule[3] != NOWHERE}
    assert found == {
        ("BalancerGroup", "in", 443, ANYWHERE),
        ("BalancerGroup", "in", 80, ANYWHERE),
        ("BalancerGroup", "out", settings.port, "ApiGroup.GroupId"),
        ("ApiGroup", "in", settings.port, "BalancerGroup.GroupId"),
        ("ApiGroup", "out", 443, ANYWHERE),
        ("WorkerGroup", "out", 443, ANYWHERE),
    }
    data = Template(FOLDER / "data.yaml", DatabaseStandby="true")
    found = {rule for rule in rules(data) if rule[3] not in {NOWHERE, "all"}}
    assert found == {
        ("DataClientGroup", "out", 5432, "DatabaseGroup.GroupId"),
        ("DataClientGroup", "out", 6379, "BrokerGroup.GroupId"),
        ("DatabaseGroup", "in", 5432, "DataClientGroup.GroupId"),
        ("BrokerGroup", "in", 6379, "DataClientGroup.GroupId"),
    }


def test_a_task_is_admitted_once_it_was_ready(template, api):
    """What waits for the API's health keeps the task from running; the time for it is one."""
    (waits,) = [
        container
        for container in containers(template, "ApiTask").values()
        if {"ContainerName": "api", "Condition": "HEALTHY"} in container.get("DependsOn", [])
    ]
    assert not waits["Essential"]
    check = api["HealthCheck"]
    assert check["StartPeriod"] <= api["StartTimeout"] <= MAX_START
    assert check["StartPeriod"] >= 120  # what a start may take
    assert check["Timeout"] < check["Interval"]
    grace = template.of("AWS::ECS::Service")["ApiService"]["HealthCheckGracePeriodSeconds"]
    assert grace > api["StartTimeout"]


def test_the_database_takes_all_the_tasks_that_there_may_be(template):
    """With every process's connections, two revisions side by side, and a fifth to spare."""
    scaled = template.of("AWS::ApplicationAutoScaling::ScalableTarget")
    api = containers(template, "ApiTask")["api"]
    machine = Resources(2, api["Memory"] * 2**20)
    processes = {
        "ApiScaling": size(settings_of({}), machine).workers,
        "WorkerScaling": int(
            environment(containers(template, "WorkerTask")["worker"])["WORKER_PROCESSES"]
        ),
    }
    most = sum(
        int(one["MaxCapacity"]) * processes[name] * CONNECTIONS for name, one in scaled.items()
    )
    data = Template(FOLDER / "data.yaml").of("AWS::RDS::DBInstance")["Database"]
    usable = USABLE * MEMORY[data["DBInstanceClass"]]
    assert 2 * most <= (1 - SPARE) * usable / BYTES_OF_A_CONNECTION
