"""What the containers of deploy/ecs/ are, may do, and tell of themselves."""

import http.server
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from project.settings import Settings
from tests.deploy.ecs import containers, environment, service

PORT = Settings.model_fields["port"].default


@pytest.fixture(scope="module")
def template():
    return service()


@contextmanager
def answering(statuses):
    """A server on loopback that answers each path with the status that stands there now."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(statuses[self.path])
            self.end_headers()

        def log_message(self, *_):
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_the_check_of_the_container_asks_for_readiness_once(tmp_path, template):
    """Not ready: unhealthy. Ready, and from then on: healthy while it lives, ready or not."""
    api = containers(template, "ApiTask")["api"]
    kind, script = api["HealthCheck"]["Command"]
    assert kind == "CMD-SHELL"
    alive = "from urllib.request import urlopen; urlopen('http://127.0.0.1:{}/health')"
    statuses = {"/ready": 503, "/health": 200}
    with answering(statuses) as port:
        asked = alive.format(port)
        here = script.replace("/tmp/", f"{tmp_path}/").replace(f":{PORT}/", f":{port}/")
        here = here.replace("python -m project.healthcheck", f'python -c "{asked}"')
        assert asked in here
        assert str(port) in here.splitlines()[1]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

        def healthy():
            done = subprocess.run(
                ["/bin/sh", "-c", here], env={"PATH": path}, capture_output=True, check=False
            )
            return done.returncode == 0

        assert not healthy()
        statuses["/ready"] = 200
        assert healthy()
        statuses["/ready"] = 503
        assert healthy()
        statuses["/health"] = 500
        assert not healthy()


@pytest.mark.parametrize(("task", "main"), [("ApiTask", "api"), ("WorkerTask", "worker")])
def test_containers_may_do_little(template, task, main):
    """No root but for opening /tmp, nothing to write to else, no capabilities; a log for each."""
    found = containers(template, task)
    groups = set(template.of("AWS::Logs::LogGroup"))
    for name, container in found.items():
        assert container["ReadonlyRootFilesystem"]
        assert container["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}
        assert container.get("User", "10001:10001") == ("0:0" if name == "tmp" else "10001:10001")
        log = container["LogConfiguration"]["Options"]
        assert log["awslogs-group"] in groups
        assert log["mode"] == "non-blocking"
    assert [name for name, one in found.items() if one["Essential"]] == [main]
    assert {"ContainerName": "tmp", "Condition": "SUCCESS"} in found[main]["DependsOn"]
    assert found[main]["MountPoints"] == found["tmp"]["MountPoints"]
    assert found["tmp"]["Command"][-1] == found["tmp"]["MountPoints"][0]["ContainerPath"] == "/tmp"
    assert all(group["RetentionInDays"] for group in template.of("AWS::Logs::LogGroup").values())


def test_a_task_has_the_memory_that_its_containers_may_use(template):
    """On x86, whose processors do bf16; two gigabytes for the API, two for each worker process."""
    for task in template.of("AWS::ECS::TaskDefinition").values():
        limits = [one["Memory"] for one in task["ContainerDefinitions"] if "Memory" in one]
        assert sum(limits) <= int(task["Memory"])
        assert task["RuntimePlatform"]["CpuArchitecture"] == "X86_64"
    assert containers(template, "ApiTask")["api"]["Memory"] >= 2048
    worker = containers(template, "WorkerTask")["worker"]
    assert worker["Memory"] >= 2048 * int(environment(worker)["WORKER_PROCESSES"])


def test_a_failed_deployment_takes_itself_back(template):
    """New tasks come before old ones go, and a release that does not start is rolled back."""
    for one in template.of("AWS::ECS::Service").values():
        rolling = one["DeploymentConfiguration"]
        assert (rolling["MinimumHealthyPercent"], rolling["MaximumPercent"]) == (100, 200)
        assert rolling["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
        assert "DesiredCount" not in one  # a deployment would undo what the scaling did


def test_workers_come_before_the_api(template):
    """New ones understand the old API's jobs; old ones may not understand the new one's."""
    assert "WorkerService" in template.raw["Resources"]["ApiService"]["DependsOn"]


def test_spot_is_for_workers_beyond_the_first(template):
    """The first tells the age of the queue, so nobody may take it away."""
    (plain,) = template.of("AWS::ECS::Service")["WorkerService"]["CapacityProviderStrategy"]
    assert plain == {"CapacityProvider": "FARGATE", "Weight": 1}
    spot = service(WorkerCapacity="FARGATE_SPOT").of("AWS::ECS::Service")
    assert spot["WorkerService"]["CapacityProviderStrategy"] == [
        {"CapacityProvider": "FARGATE", "Base": 1, "Weight": 0},
        {"CapacityProvider": "FARGATE_SPOT", "Weight": 1},
    ]
    (api,) = spot["ApiService"]["CapacityProviderStrategy"]
    assert api["CapacityProvider"] == "FARGATE"
