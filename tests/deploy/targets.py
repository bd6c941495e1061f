"""What each target's manifests give to the API and the job workers, in one shape for all."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from project.db.engine import CONNECTIONS
from project.resources import Resources, size
from project.settings import Settings
from tests.deploy import cloudrun, compose, ecs, kustomize, vm_files
from tests.deploy.cloudformation import Template
from tests.deploy.cloudrun import probe_seconds
from tests.deploy.environment import SECRETS, settings_of
from tests.ops import promql

MIB = 2**20
GIB = 2**30


@dataclass(frozen=True)
class Process:
    """The API or the job workers of a target.

    environment: with example secrets. stop_seconds: from SIGTERM to SIGKILL. start_seconds: until a
    start counts as failed. margin: from the end of an orderly stop to SIGKILL. liveness_seconds:
    until a failing check restarts. memory: bytes. scrape: job, port, interval and time-out.
    """

    environment: Mapping[str, str]
    stop_seconds: float
    start_seconds: float
    margin: float
    liveness_seconds: float = math.inf
    memory: int | None = None
    scrape: tuple[str, int, float, float] | None = None

    @cached_property
    def settings(self) -> Settings:
        """Fails where the environment is refused or names what is no setting."""
        return settings_of(self.environment)


@dataclass(frozen=True)
class Proxy:
    """silence_seconds: until it gives up on an answer. idle_seconds: for idle connections."""

    silence_seconds: float
    max_body_bytes: float
    idle_seconds: float = 0


@dataclass(frozen=True)
class Target:
    """connections: most that all processes hold during a release, and what the database takes.

    worker_queries: PromQL that scales the workers. min_workers: their lowest number.
    """

    api: Process
    worker: Process
    proxy: Proxy
    connections: tuple[int, float] = (0, 0)
    worker_queries: list[str] = field(default_factory=list)
    min_workers: int = 1


def api_processes(processors: float, memory: int) -> int:
    """The Gunicorn workers that an API chooses in a container of this size."""
    return size(Settings(_env_file=None, jobs=False), Resources(processors, memory)).workers


@cache
def cloud_run() -> Target:
    service, pool = cloudrun.render("service.yaml"), cloudrun.render("worker-pool.yaml")
    api, worker = cloudrun.container(service, "api"), cloudrun.container(pool, "worker")
    (scaled,) = cloudrun.render("autoscaler.yaml")["spec"]["scaledObjects"]
    sidecar = cloudrun.load("run-monitoring.yaml")
    (endpoint,) = sidecar["spec"]["endpoints"]
    collector = cloudrun.load("collector.yaml")["receivers"]["prometheus"]["config"]
    (job,) = collector["scrape_configs"]
    instances = int(cloudrun.annotations(service)["autoscaling.knative.dev/maxScale"])
    processes = instances * api_processes(2, 2 * GIB) + scaled["spec"]["maxReplicaCount"] * int(
        cloudrun.environment(worker)["WORKER_PROCESSES"]
    )
    setup = (cloudrun.FOLDER / "setup.sh").read_text()
    taken = int(setup.split("MAX_CONNECTIONS=")[1].split()[0])

    def process(container: dict[str, Any], scrape: tuple[str, int, float, float]) -> Process:
        return Process(
            environment=cloudrun.environment(container),
            stop_seconds=cloudrun.KILL_SECONDS,
            start_seconds=probe_seconds(container["startupProbe"]),
            margin=1,
            liveness_seconds=probe_seconds(container["livenessProbe"]),
            memory=_gibibytes(container["resources"]["limits"]["memory"]),
            scrape=scrape,
        )

    silence = service["spec"]["template"]["spec"]["timeoutSeconds"]
    return Target(
        api=process(api, _scrape(sidecar["metadata"]["name"], endpoint["port"], endpoint)),
        worker=process(worker, _scrape(job["job_name"], _port(job), job)),
        proxy=Proxy(silence, max_body_bytes=32 * MIB, idle_seconds=600),  # of Google's front ends
        connections=(2 * processes * CONNECTIONS, taken - 20),
        worker_queries=[one["metadata"]["query"] for one in scaled["spec"]["triggers"]],
        min_workers=scaled["spec"]["minReplicaCount"],
    )


@cache
def docker_compose() -> Target:
    nginx = (compose.FOLDER / "edge/nginx.conf").read_text()
    (silence,) = vm_files.directives("proxy_read_timeout", nginx)
    (body,) = vm_files.directives("client_max_body_size", nginx)
    prometheus = vm_files.load(compose.FOLDER / "prometheus/prometheus.yml")
    jobs = {job["job_name"]: job for job in prometheus["scrape_configs"]}

    def process(name: str, margin: float) -> Process:
        service = compose.services()[name]
        (found,) = jobs[f"vitrine-{name}"]["dns_sd_configs"]
        assert found["names"] == [name]
        return Process(
            environment=compose.environment(name),
            stop_seconds=compose.seconds(service["stop_grace_period"]),
            start_seconds=compose.seconds(service["healthcheck"]["start_period"]),
            margin=margin,
            memory=compose.memory(name),
            scrape=_scrape(f"vitrine-{name}", found["port"], prometheus["global"]),
        )

    return Target(
        api=process("api", 5),
        worker=process("worker", 3),
        proxy=Proxy(vm_files.seconds(silence), vm_files.size(body) or math.inf),
    )


@cache
def fargate() -> Target:
    template = ecs.service()
    (targets,) = template.of_type("AWS::ElasticLoadBalancingV2::TargetGroup").values()
    (balancer,) = template.of_type("AWS::ElasticLoadBalancingV2::LoadBalancer").values()
    idle = ecs.attributes(balancer["LoadBalancerAttributes"])["idle_timeout.timeout_seconds"]

    def process(task: str, name: str, **more: Any) -> Process:
        containers = ecs.containers(template, task)
        defined = containers[name]
        collector = ecs.collector_config(template, task)["receivers"]["prometheus"]["config"]
        (job,) = collector["scrape_configs"]
        secrets = {item["Name"]: SECRETS[item["Name"]] for item in defined["Secrets"]}
        return Process(
            environment=ecs.environment(defined) | secrets | {"HOST": "0.0.0.0"},
            stop_seconds=defined["StopTimeout"],
            start_seconds=defined["HealthCheck"]["StartPeriod"],
            memory=defined["Memory"] * MIB,
            scrape=_scrape(job["job_name"], _port(job), collector["global"]),
            **more,
        )

    liveness = targets["HealthCheckIntervalSeconds"] * targets["UnhealthyThresholdCount"]
    api = process("ApiTask", "api", margin=5, liveness_seconds=liveness)
    worker = process("WorkerTask", "worker", margin=1)
    scaling = template.of_type("AWS::ApplicationAutoScaling::ScalableTarget")
    processes = int(scaling["ApiScaling"]["MaxCapacity"]) * api_processes(2, api.memory or 0)
    processes += int(scaling["WorkerScaling"]["MaxCapacity"]) * worker.settings.worker_processes
    database = Template(ecs.FOLDER / "data.yaml").of_type("AWS::RDS::DBInstance")["Database"]
    memory = {"db.t4g.medium": 4 * GIB}[database["DBInstanceClass"]]
    # RDS divides 90 % of the memory by this; a fifth is left for migrations and operators.
    taken = 0.9 * memory / 9_531_392 * 0.8
    return Target(
        api=api,
        worker=worker,
        proxy=Proxy(float(idle), math.inf, float(idle)),
        connections=(2 * processes * CONNECTIONS, taken),
        min_workers=int(scaling["WorkerScaling"]["MinCapacity"]),
    )


@cache
def kubernetes() -> Target:
    objects = kustomize.rendered(kustomize.PRODUCTION)
    ingress = kustomize.find(objects, "Ingress", "vitrine")["metadata"]["annotations"]
    notes = {name.partition("/")[2]: value for name, value in ingress.items()}
    silence = float(notes["proxy-read-timeout"])
    scaler = kustomize.find(objects, "ScaledObject", "vitrine-worker")["spec"]

    def process(name: str) -> Process:
        deployment = kustomize.find(objects, "Deployment", f"vitrine-{name}")
        container, pod = kustomize.container_of(deployment), kustomize.pod_of(deployment)
        monitor = kustomize.find(objects, "PodMonitor", f"vitrine-{name}")["spec"]
        (endpoint,) = monitor["podMetricsEndpoints"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        hook = container.get("lifecycle", {}).get("preStop", {"exec": {"command": ["sleep", 0]}})
        (job,) = [
            rule["replacement"] for rule in endpoint["relabelings"] if rule["targetLabel"] == "job"
        ]
        return Process(
            environment=kustomize.environment(objects, deployment),
            stop_seconds=pod["terminationGracePeriodSeconds"] - int(hook["exec"]["command"][1]),
            start_seconds=probe_seconds(container["startupProbe"]),
            margin=5,
            liveness_seconds=probe_seconds(container["livenessProbe"]),
            memory=_gibibytes(container["resources"]["limits"]["memory"]),
            scrape=_scrape(job, ports[endpoint["port"]], endpoint),
        )

    api, worker = process("api"), process("worker")
    pods = {
        name: kustomize.surged(objects, name, kustomize.pod_bounds(objects, name)[1])
        for name in ("vitrine-api", "vitrine-worker")
    }
    processes = pods["vitrine-api"] * api_processes(2, api.memory or 0)
    processes += pods["vitrine-worker"] * worker.settings.worker_processes
    page = (kustomize.FOLDER / "README.md").read_text()
    demanded = int(page.split("`max_connections` of ")[1].split(";")[0])
    return Target(
        api=api,
        worker=worker,
        proxy=Proxy(
            silence, vm_files.size(notes["proxy-body-size"]), 60
        ),  # ingress-nginx's default
        connections=(processes * CONNECTIONS, demanded - 5),
        worker_queries=[trigger["metadata"]["query"] for trigger in scaler["triggers"]],
        min_workers=scaler["minReplicaCount"],
    )


@cache
def virtual_machine() -> Target:
    """The units of deploy/vm; one instance, as both have the same settings but for ports."""

    def process(unit: str, instance: str, margin: float) -> Process:
        service = vm_files.unit(unit)["Service"]
        return Process(
            environment=vm_files.variables(unit, instance),
            stop_seconds=int(service["TimeoutStopSec"][0]),
            start_seconds=int(service["ExecStartPost"][0].rsplit("--seconds ", 1)[1]),
            margin=margin,
        )

    nginx = (vm_files.NGINX / "vitrine.conf").read_text()
    upstream = (vm_files.NGINX / "upstream.conf").read_text()
    (body,) = vm_files.directives("client_max_body_size", nginx)
    silence = map(vm_files.seconds, vm_files.directives("proxy_read_timeout", nginx))
    idle = map(vm_files.seconds, vm_files.directives("keepalive_timeout", upstream))
    return Target(
        api=process("vitrine-api@.service", vm_files.INSTANCES[0], 5),
        worker=process("vitrine-worker.service", "", 1),
        proxy=Proxy(min(silence), vm_files.size(body), max(idle)),
    )


TARGETS: dict[str, Callable[[], Target]] = {
    "Cloud Run": cloud_run,
    "Compose": docker_compose,
    "ECS": fargate,
    "Kubernetes": kubernetes,
    "VM": virtual_machine,
}


def _gibibytes(text: str) -> int:
    return int(text.removesuffix("Gi")) * GIB


def _port(job: Mapping[str, Any]) -> int:
    (target,) = job["static_configs"][0]["targets"]
    return int(target.rpartition(":")[2])


def _scrape(job: str, port: int, times: Mapping[str, Any]) -> tuple[str, int, float, float]:
    """Job, port, interval and time-out, from whichever names this configuration uses."""
    interval = times.get("scrape_interval") or times["interval"]
    timeout = times.get("scrape_timeout") or times.get("scrapeTimeout") or times["timeout"]
    return job, port, promql.seconds(interval), promql.seconds(timeout)
