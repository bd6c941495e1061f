"""What the collectors scrape, and the labels that rules and dashboards know."""

import re
from urllib.parse import urlsplit

import jsonschema
import pytest

from tests.deploy.cloudrun import container, read, rendered, settings
from tests.ops import promql
from tests.ops.vocabulary import rules

SERVICE = rendered("service.yaml")
POOL = rendered("worker-pool.yaml")
DURATION = {"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$"}
TEXTS = {"type": "array", "items": {"type": "string"}}
COUNT = {"type": "integer", "minimum": 0}
# The fields of Google's page "Use the Prometheus sidecar for Cloud Run" and no others: the sidecar
# ends at one that it does not know.
RUN_MONITORING = {
    "type": "object",
    "additionalProperties": False,
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "monitoring.googleapis.com/v1beta"},
        "kind": {"const": "RunMonitoring"},
        "metadata": {
            "type": "object",
            "additionalProperties": False,
            "required": ["name"],
            "properties": {"name": {"type": "string"}},
        },
        "spec": {
            "type": "object",
            "additionalProperties": False,
            "required": ["endpoints"],
            "properties": {
                "endpoints": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["port", "interval"],
                        "properties": {
                            "port": {"type": ["integer", "string"]},
                            "scheme": {"enum": ["http", "https"]},
                            "path": {"type": "string", "pattern": "^/.*[^/]$"},
                            "params": {"type": "object"},
                            "proxyUrl": {"type": "string"},
                            "interval": DURATION,
                            "timeout": DURATION,
                            "metricRelabeling": {"type": "array"},
                        },
                    },
                },
                "targetLabels": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "metadata": {
                            "type": "array",
                            "items": {"enum": ["instance", "revision", "service", "configuration"]},
                        }
                    },
                },
                "limits": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": dict.fromkeys(
                        ("samples", "labels", "labelNameLength", "labelValueLength"), COUNT
                    ),
                },
            },
        },
    },
}


@pytest.fixture
def endpoint():
    """The one that the API's sidecar scrapes."""
    (one,) = read("run-monitoring.yaml")["spec"]["endpoints"]
    return one


@pytest.fixture
def scrape():
    """The one that the workers' collector scrapes."""
    (one,) = read("collector.yaml")["receivers"]["prometheus"]["config"]["scrape_configs"]
    return one


def test_the_sidecar_knows_every_field():
    """It reads strictly, and an instance without metrics is found out late."""
    jsonschema.validate(read("run-monitoring.yaml"), RUN_MONITORING)


@pytest.mark.parametrize("field", ["scrapeInterval", "relabeling", "tls"])
def test_a_field_that_it_does_not_know_is_refused(field):
    """So that the check above can fail."""
    given = read("run-monitoring.yaml")
    given["spec"]["endpoints"][0][field] = "x"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(given, RUN_MONITORING)


def test_scrapes_go_where_the_product_serves_metrics(endpoint, scrape):
    """The API's port of its own, without a token; the workers' port."""
    assert endpoint["port"] == settings(container(SERVICE, "api")).metrics_port
    assert endpoint["path"] == "/metrics"
    (target,) = scrape["static_configs"][0]["targets"]
    port = settings(container(POOL, "worker")).worker_metrics_port
    assert urlsplit(f"http://{target}").port == port
    for manifest, name in ((SERVICE, "api"), (POOL, "worker")):
        assert settings(container(manifest, name)).metrics_token is None


def test_jobs_are_called_as_in_the_rules(scrape):
    """Both names, and no other, are what rules and alerts ask for; some ask for both at once."""
    asked = {
        matcher.value
        for kind in ("rules", "alerts")
        for _, rule in rules(kind)
        for selector, _ in promql.selectors(promql.parse(rule["expr"]))
        for matcher in promql.matchers(selector)
        if matcher.name == "job" and re.fullmatch(r"vitrine-\w+", matcher.value)
    }
    names = {read("run-monitoring.yaml")["metadata"]["name"], scrape["job_name"]}
    assert names == asked == {"vitrine-api", "vitrine-worker"}


def test_scrapes_are_close_enough_for_rates_over_a_minute(endpoint, scrape):
    """Four in a window: one may be missed. And each waits for slow neighbours."""
    for interval, timeout in (
        (endpoint["interval"], endpoint["timeout"]),
        (scrape["scrape_interval"], scrape["scrape_timeout"]),
    ):
        assert promql.seconds(interval) <= 60 / 4
        assert 2 < promql.seconds(timeout) <= promql.seconds(interval)


def test_a_flood_of_series_is_cut_off_above_what_the_product_may_expose(endpoint, scrape):
    """Series are what Google bills; 1,500 and 600 are what tests hold the product to."""
    assert read("run-monitoring.yaml")["spec"]["limits"]["samples"] == 2 * 1500
    assert scrape["sample_limit"] == 2 * 600


def test_the_workers_collector_uses_what_it_defines():
    """A part that no pipeline names does nothing, one that is not defined ends it."""
    given = read("collector.yaml")
    (pipeline,) = given["service"]["pipelines"].values()
    for kind in ("receivers", "processors", "exporters"):
        assert set(pipeline[kind]) == set(given[kind])
    assert set(given["service"]["extensions"]) == set(given["extensions"])
    order = pipeline["processors"]
    assert order.index("resourcedetection") < order.index("transform") < order.index("batch")
    assert order[0] == "memory_limiter"


def test_every_worker_has_an_instance_of_its_own():
    """From what the metadata server tells of it; names of metrics stay as they are."""
    given = read("collector.yaml")
    assert given["processors"]["resourcedetection"]["detectors"] == ["gcp"]
    (resource,) = given["processors"]["transform"]["metric_statements"]
    sets = [
        line for line in resource["statements"] if line.startswith('set(attributes["instance"]')
    ]
    assert all('"9191"' in line and "faas." in line for line in sets)
    assert len(sets) == 2
    assert given["exporters"]["googlemanagedprometheus"]["metric"]["add_metric_suffixes"] is False


@pytest.mark.parametrize(
    ("manifest", "path", "secret"),
    [
        (SERVICE, "/etc/rungmp/config.yaml", "vitrine-run-monitoring"),
        (POOL, "/etc/vitrine/collector.yaml", "vitrine-collector"),
    ],
)
def test_a_collector_finds_its_configuration(manifest, path, secret):
    """Where its program looks for it, out of the secret that deploy.sh fills."""
    spec = manifest["spec"]["template"]["spec"]
    collector = container(manifest, "collector")
    (mount,) = collector["volumeMounts"]
    (volume,) = (one for one in spec["volumes"] if one["name"] == mount["name"])
    (item,) = volume["secret"]["items"]
    assert f"{mount['mountPath']}/{item['path']}" == path
    assert volume["secret"]["secretName"] == secret
    assert collector.get("args", []) in ([], [f"--config={path}"])


def test_collectors_are_probed_where_they_answer():
    """The sidecar's own page; the collector's extension."""
    sidecar = container(SERVICE, "collector")["livenessProbe"]["httpGet"]
    assert sidecar == {"path": "/liveness", "port": 13133}
    endpoint = read("collector.yaml")["extensions"]["health_check"]["endpoint"]
    probe = container(POOL, "collector")["livenessProbe"]["httpGet"]
    assert int(endpoint.rsplit(":", 1)[1]) == probe["port"]


def test_workers_are_scaled_by_the_age_of_the_queue():
    """The greatest age, as each instance tells the same; never to none, as then nobody tells it."""
    (scaled,) = rendered("autoscaler.yaml")["spec"]["scaledObjects"]
    (trigger,) = scaled["spec"]["triggers"]
    tree = promql.parse(trigger["metadata"]["query"])
    (selector,) = (found for found, _ in promql.selectors(tree))
    assert promql.name_of(selector) == "jobs_oldest_message_age_seconds"
    assert trigger["metadata"]["query"].startswith("max(")
    assert scaled["spec"]["minReplicaCount"] >= 1
    pool = POOL["metadata"]
    assert scaled["spec"]["scaleTargetRef"]["name"].endswith(f"/workerpools/{pool['name']}")
    assert int(pool["annotations"]["run.googleapis.com/manualInstanceCount"]) >= 1
