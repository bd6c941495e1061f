"""The collectors beside the tasks: what they scrape, what they call it, and where it goes."""

import itertools

import pytest
import yaml

from drills.programs import ask, running
from drills.server import free_port
from drills.waiting import wait_until
from project.jobs.queue import QUEUE
from project.observability.metrics import JOBS_OLDEST_AGE
from tests.deploy.ecs import VALUES, containers, environment, service
from tests.deploy.environment import settings_of
from tests.ops.tools import ROOT, need, output

ASKED = "${env:ECS_CONTAINER_METADATA_URI_V4}"
TASKS = {"ApiTask": ("api", "vitrine-api"), "WorkerTask": ("worker", "vitrine-worker")}
FIRST, SECOND = "cd189a933e5849daa93386466019ab50", "0f6d0b4cbd0a4f7a9a2e4d2a5f6b7c8d"


@pytest.fixture(scope="module")
def template():
    return service()


@pytest.fixture(scope="module", params=TASKS)
def task(request):
    return request.param


def read(template, task):
    """What the collector of a task reads."""
    given = environment(containers(template, task)["collector"])
    return yaml.safe_load(given["AOT_CONFIG_CONTENT"])


@pytest.fixture(scope="module")
def config(template, task):
    return read(template, task)


def scrapes(config, address):
    """Its scrape part, as a configuration of Prometheus in the task that has this address."""
    text = yaml.safe_dump(config["receivers"]["prometheus"]["config"])
    assert ASKED in text
    return yaml.safe_load(text.replace(ASKED, address))


def test_the_scrape_part_is_valid(tmp_path, config):
    """Prometheus' own tool reads it."""
    path = tmp_path / "prometheus.yml"
    path.write_text(yaml.safe_dump(scrapes(config, f"http://169.254.170.2/v4/{FIRST}-1")))
    assert "SUCCESS" in output(need("promtool"), "check", "config", str(path))


def test_it_scrapes_the_port_that_the_task_listens_on(template, config, task):
    """As often as our own Prometheus, under the job's name that rules and dashboards expect."""
    main, job = TASKS[task]
    given = environment(containers(template, task)[main])
    settings = settings_of(given | {"JOBS": "off"})
    ports = {"api": settings.metrics_port, "worker": settings.worker_metrics_port}
    ours = yaml.safe_load((ROOT / "prometheus/prometheus.yml").read_text())
    found = scrapes(config, "")
    (scraped,) = found["scrape_configs"]
    assert scraped["job_name"] == job
    assert job in {one["job_name"] for one in ours["scrape_configs"]}
    assert scraped["static_configs"][0]["targets"] == [f"127.0.0.1:{ports[main]}"]
    for name in ("scrape_interval", "scrape_timeout"):
        assert found["global"][name] == ours["global"][name]


def test_every_task_is_an_instance_of_its_own(tmp_path, template):
    """Though all scrape the same address: a real Prometheus names two of each by their ids."""
    every = []
    for name, identity in itertools.product(TASKS, (FIRST, SECOND)):
        config = read(template, name)
        scraped = scrapes(config, f"http://169.254.170.2/v4/{identity}-2495160603")
        scraped["scrape_configs"][0]["static_configs"][0]["targets"] = ["127.0.0.1:9"]
        every.append(scraped["scrape_configs"][0])
    merged = {}
    for one in every:
        merged.setdefault(one["job_name"], one | {"static_configs": []})
        merged[one["job_name"]]["static_configs"] += one["static_configs"]
    path = tmp_path / "prometheus.yml"
    path.write_text(yaml.safe_dump({"scrape_configs": list(merged.values())}))
    url = f"http://127.0.0.1:{free_port()}"
    command = [
        need("prometheus"),
        f"--config.file={path}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address={url.removeprefix('http://')}",
    ]
    with running(command, url, log=tmp_path / "log"):
        found = wait_until(
            lambda: ask(f"{url}/api/v1/targets")["data"]["activeTargets"], "it has targets"
        )
    assert {(one["labels"]["job"], one["labels"]["instance"]) for one in found} == set(
        itertools.product((job for _, job in TASKS.values()), (FIRST, SECOND))
    )


def test_pipelines_are_made_of_what_is_there(config):
    """Every part that is named is configured, and none is configured in vain."""
    used = {kind: set() for kind in ("receivers", "processors", "exporters")}
    for pipeline in config["service"]["pipelines"].values():
        for kind, names in used.items():
            names |= set(pipeline[kind])
        assert pipeline["processors"][0] == "memory_limiter"
    for kind, names in used.items():
        assert names == set(config[kind])
    assert set(config["service"]["extensions"]) == set(config["extensions"])


def test_metrics_go_to_the_workspace_by_their_own_names(config):
    """Signed, with the environment's label, and without what other collectors add to names."""
    sent = config["exporters"]["prometheusremotewrite"]
    assert sent["endpoint"] == f"{VALUES['WorkspaceUrl']}api/v1/remote_write"
    assert sent["auth"]["authenticator"] in config["extensions"]
    assert config["extensions"]["sigv4auth"] == {"region": "eu-central-1", "service": "aps"}
    assert sent["external_labels"] == {"environment": "production"}
    assert sent["translation_strategy"].endswith("WithoutSuffixes")
    assert sent["disable_scope_info"]


def test_traces_come_in_where_the_product_sends_them(template, config, task):
    """Inside the task alone."""
    main, _ = TASKS[task]
    endpoint = config["receivers"]["otlp"]["protocols"]["http"]["endpoint"]
    given = environment(containers(template, task)[main])
    assert given["OTEL_EXPORTER_OTLP_ENDPOINT"] == f"http://{endpoint}"
    assert endpoint.startswith("127.0.0.1:")
    assert config["service"]["pipelines"]["traces"]["exporters"] == ["awsxray"]


def test_the_age_of_the_queue_scales_the_workers(template):
    """One metric of ours goes to CloudWatch, and both alarms read it there by its maximum."""
    config = read(template, "WorkerTask")
    (kept,) = config["processors"]["filter/age"]["metrics"]["metric"]
    name = JOBS_OLDEST_AGE.name
    assert kept == f'name != "{name}"'
    sent = config["exporters"]["awsemf"]
    (declared,) = sent["metric_declarations"]
    assert declared["metric_name_selectors"] == [f"^{name}$"]
    assert declared["dimensions"] == [list(JOBS_OLDEST_AGE.labels)]
    assert config["service"]["pipelines"]["metrics/scaling"]["exporters"] == ["awsemf"]
    assert sent["log_group_name"] in template.of("AWS::Logs::LogGroup")
    alarms = template.of("AWS::CloudWatch::Alarm")
    up, down = alarms["JobsWait"], alarms["JobsDoNotWait"]
    for alarm in (up, down):
        assert (alarm["Namespace"], alarm["MetricName"]) == (sent["namespace"], name)
        assert alarm["Dimensions"] == [{"Name": "queue", "Value": QUEUE}]
        assert alarm["Statistic"] == "Maximum"
        assert alarm["TreatMissingData"] == "notBreaching"
    assert down["Threshold"] < up["Threshold"]
    policies = template.of("AWS::ApplicationAutoScaling::ScalingPolicy")
    for alarm, sign in ((up, 1), (down, -1)):
        (policy,) = alarm["AlarmActions"]
        steps = policies[policy]["StepScalingPolicyConfiguration"]["StepAdjustments"]
        assert all(step["ScalingAdjustment"] * sign > 0 for step in steps)


def test_a_worker_always_stays():
    """The age comes from one, so with none nothing would ever scale out again."""
    template = service()
    assert template.raw["Parameters"]["WorkerLeast"]["MinValue"] == 1
    least = template.of("AWS::ApplicationAutoScaling::ScalableTarget")["WorkerScaling"]
    assert int(least["MinCapacity"]) >= 1
