"""The linter refuses what it is there to refuse, and nothing that is right."""

import copy

import pytest

from tests.ops.alert_lint import WATCHDOG, alert_faults, record_faults
from tests.ops.lint import faults
from tests.ops.promql import RATE_INTERVAL, labels_of, parse, seconds
from tests.ops.vocabulary import labels_known, scrape_interval

API = 'job="vitrine-api"'
WORKER = 'job="vitrine-worker"'

WRONG = {
    f"sum(rate(http_requests_total{{{API}}}[5m])": "does not parse",
    f"rate(http_request_total{{{API}}}[5m])": "nobody emits or records that",
    f"increase(websocket_bytes_total{{{API}}}[5m])": "nobody emits or records that",
    f"http_requests_total{{{API}}} > 5": "is a counter",
    f"max_over_time(jobs_wait_seconds_sum{{{WORKER}}}[5m])": "is a counter",
    f"rate(jobs_queue_messages{{{WORKER}}}[5m])": "is no counter",
    "increase(slo:sli_errors:rate5m[5m])": "is no counter",
    f"rate(http_requests_total{{{API}}}[45s])": "looks back less than 60 s",
    "sum(rate(http_requests_total[5m]))": "selects no job",
    'rate(http_requests_total{job="api"}[5m])': "job is never api",
    'rate(http_requests_total{job=~"vitrine-api|api"}[5m])': "job is never api",
    f"rate(http_requests_total{{{WORKER}}}[5m])": "job is never vitrine-worker",
    f"jobs_queue_messages{{{API}}}": "job is never vitrine-api",
    f"prometheus_tsdb_head_series{{{API}}}": "job is never vitrine-api",
    f'rate(http_requests_total{{{API},code="500"}}[5m])': "has no label code",
    f"sum by (route) (rate(http_requests_total{{{API}}}[5m]))": "has no label route",
    f"sum without (route) (rate(http_requests_total{{{API}}}[5m]))": "has no label route",
    f"model_loaded{{{API}}} * on (name) model_info{{{API}}}": "has no label name",
    f"model_loaded{{{API}}} * on (model) group_left (weight) model_info{{{API}}}": "label weight",
    f"sum(model_loaded{{{API}}}) and on (model) model_info{{{API}}}": "has no label model",
    f'rate(inference_requests_total{{{API},outcome="overloaded"}}[5m])': "is never overloaded",
    f'rate(http_requests_total{{{API},status=~"6.."}}[5m])': "status is never 6..",
    f'rate(http_request_duration_seconds_bucket{{{API},le="0.6"}}[5m])': "le is never 0.6",
    f'rate(jobs_wait_seconds_bucket{{{WORKER},le="60"}}[5m])': "le is never 60",
    f'jobs_queue_messages{{{WORKER},state=~"ready|waiting"}}': "state is never waiting",
    f'jobs_queue_messages{{{WORKER},state!="waiting"}}': "state is never waiting",
    'slo:sli_error:ratio_rate1h{slo="uptime"}': "slo is never uptime",
    f"histogram_quantile(0.9, sum(rate(jobs_wait_seconds_bucket{{{WORKER}}}[5m])))": "label le",
    f"histogram_quantile(0.9, rate(jobs_wait_seconds_count{{{WORKER}}}[5m]))": "label le",
}

RIGHT = [
    f"sum by (status) (rate(http_requests_total{{{API}}}[$__rate_interval]))",
    f'sum(increase(http_requests_total{{{API},handler=~"$handler",status=~"5.."}}[$__range]))',
    f'jobs_queue_messages{{{WORKER},state=~"ready|run.+"}}',
    f"histogram_quantile(0.9, sum by (le) (rate(jobs_wait_seconds_bucket{{{WORKER}}}[1m])))",
    f"absent(up{{{API}}}) or absent_over_time(jobs_enqueued_total{{{API}}}[1h])",
    f"server_workers{{{API}}} * on (job, instance) group_left (version) app_info{{{API}}}",
    'up{job=~"vitrine-.+|prometheus"} == 0',
    "slo:sli_error:ratio_rate1h / on (slo) slo:error_budget:ratio",
    'ALERTS{alertname="ApiDown",alertstate="firing"}',
]


@pytest.mark.parametrize("expr", WRONG)
def test_a_query_that_is_silently_wrong_is_refused(expr):
    """And the linter says why."""
    assert any(WRONG[expr] in fault for fault in faults(expr)), faults(expr)


@pytest.mark.parametrize("expr", RIGHT)
def test_a_query_that_is_right_passes(expr):
    """Grafana's variables among them."""
    assert faults(expr) == []


def test_grafanas_own_window_is_wide_enough():
    """It is at least four scrapes, and so must be what stands for it here."""
    assert seconds(RATE_INTERVAL) >= 4 * scrape_interval()


@pytest.mark.parametrize(
    ("expr", "labels"),
    [
        (f"sum by (model) (model_info{{{API}}})", {"model"}),
        (f"sum without (model) (model_loaded{{{API}}})", {"job", "instance"}),
        (f"sum(model_loaded{{{API}}})", set()),
        (f"topk(3, model_loaded{{{API}}})", {"model", "job", "instance"}),
        (f"2 * model_loaded{{{API}}}", {"model", "job", "instance"}),
        (f"model_loaded{{{API}}} / on (model) model_loaded{{{API}}}", {"model"}),
        (f"model_loaded{{{API}}} / ignoring (job) model_loaded{{{API}}}", {"model", "instance"}),
        (
            f"server_workers{{{API}}} * on (job) group_right (instance) model_loaded{{{API}}}",
            {"model", "job", "instance"},
        ),
        (f"sum by (job) (up{{{API}}}) or absent(up{{{API}}})", {"job"}),
        (f"sum by (job) (up{{{API}}}) or vector(0)", set()),
        (
            f"model_loaded{{{API}}} unless on (model) model_info{{{API}}}",
            {"model", "job", "instance"},
        ),
        (
            f'label_replace(up{{{API}}}, "where", "$1", "instance", "(.*):.*")',
            {"job", "instance", "where"},
        ),
        (f"-(up{{{API}}} > bool 0)", {"job", "instance"}),
        (f"max_over_time(sum by (job) (up{{{API}}})[5m:1m])", {"job"}),
    ],
)
def test_the_labels_of_an_answer_are_known(expr, labels):
    """As Prometheus' own engine leaves them."""
    assert labels_of(parse(expr), labels_known) == labels


SOUND = {
    "alert": "ModelNotLoaded",
    "expr": f"min_over_time(model_loaded{{{API}}}[1m]) == 0",
    "for": "2m",
    "labels": {"severity": "page", "service": "vitrine", "component": "inference"},
    "annotations": {
        "summary": "{{ $labels.model }} is not loaded",
        "description": "{{ with query \"sum(up{job='vitrine-api'})\" }}{{ . }} are up.{{ end }}",
        "runbook_url": "{{ $externalLabels.runbooks_url }}/ModelNotLoaded.md",
        "dashboard_url": "{{ $externalLabels.grafana_url }}/d/vitrine-inference",
    },
}

SPOILT = [
    (("expr",), "sum(model_loadd)", "nobody emits"),
    (("expr",), f"model_loaded{{{API}}} == 0", "is a gauge"),
    (("expr",), f"rate(model_loaded{{{API}}}[5m]) == 0", "is no counter"),
    (("expr",), f"min_over_time(model_loaded{{{API}}}[2m]) == 0", "not shorter than `for`"),
    (("expr",), f"min(min_over_time(model_loaded{{{API}}}[1m])) == 0", "shows the label model"),
    (("for",), None, "no `for`"),
    (("labels", "severity"), "critical", "severity is one of"),
    (("labels", "severity"), None, "severity is one of"),
    (("labels", "component"), "web", "component is one of"),
    (("labels", "service"), None, "service is vitrine"),
    (("annotations", "summary"), None, "its annotations are"),
    (("annotations", "summary"), "{{ $labels.modle }}", "shows the label modle"),
    (("annotations", "description"), '{{ query "sum(upp)" }}', "asks for sum(upp)"),
    (
        ("annotations", "description"),
        "{{ with query \"sum(up{job='vitrine-api'})\" }}{{ . }}{{ end }} are up.",
        "a broken sentence",
    ),
    (("annotations", "runbook_url"), "https://here/ModelNotLoaded.md", "runbook_url is"),
    (
        ("annotations", "runbook_url"),
        "{{ $externalLabels.runbooks_url }}/ApiDown.md",
        "runbook_url is",
    ),
    (
        ("annotations", "dashboard_url"),
        "{{ $externalLabels.grafana_url }}/d/vitrine-models",
        "none of the five dashboards",
    ),
]


def test_a_sound_alert_passes():
    """What the next test spoils is sound before."""
    assert alert_faults(SOUND) == []


@pytest.mark.parametrize(("where", "value", "complaint"), SPOILT)
def test_an_alert_that_lacks_something_is_refused(where, value, complaint):
    """One thing at a time."""
    rule = copy.deepcopy(SOUND)
    *path, last = where
    place = rule
    for step in path:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    assert any(complaint in fault for fault in alert_faults(rule)), alert_faults(rule)


def test_the_watchdog_alone_waits_for_nothing():
    """It always fires."""
    always = SOUND | {"alert": WATCHDOG, "expr": "vector(1)"}
    del always["for"]
    assert "no `for`" not in " ".join(alert_faults(always))


@pytest.mark.parametrize("name", ["error_ratio", "slo:ratio", "slo:sli:error:ratio", "Slo:a:b"])
def test_a_recording_is_named_by_level_metric_and_operation(name):
    """So that everybody sees what it was aggregated to."""
    rule = {"record": name, "expr": f"sum(rate(http_requests_total{{{API}}}[5m]))"}
    assert record_faults(rule) == ["its name is not level:metric:operation"]
    assert record_faults(rule | {"record": "api:http_requests:rate5m"}) == []


def test_a_recording_of_a_wrong_query_is_refused():
    """Every panel that reads it would be wrong with it."""
    rule = {"record": "api:http_requests:rate5m", "expr": "sum(rate(http_requests_total[5m]))"}
    assert "selects no job" in record_faults(rule)[0]
