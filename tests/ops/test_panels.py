"""Every panel has data: each query of the dashboards, against the real stack under mixed traffic.

Some of it fails, is refused or is too much at once, so that even the panels of alerts show some.
"""

import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from drills.faults import model_raises
from drills.monitoring import ALERTMANAGER, EXPORTER, PROMETHEUS, WEBHOOK
from drills.programs import NotInstalled, binary
from drills.prometheus import Prometheus
from drills.scaled import promql
from drills.stack import Stack, standing
from drills.traffic import UNKNOWN_PROMPT, Traffic, burst, guess, healthy, job, predictions
from drills.waiting import wait_until
from tests.ops.pages import RUNBOOKS, Page
from tests.ops.panels import DASHBOARDS, ROOT, Target, recorded, targets_of
from tests.ops.sense import RATE_MINUTES, nonsense
from tests.ops.tools import need

ROUNDS = 4
OBJECTIVES = {"availability", "latency", "jobs", "freshness"}
WINDOWS = {"$__rate_interval": f"{RATE_MINUTES}m", "$__range": "6h", "$__interval": "15s"}
TARGETS = [target for uid in DASHBOARDS for target in targets_of(uid)]
VARIABLES = [
    (uid, variable["query"])
    for uid, board in DASHBOARDS.items()
    for variable in board["templating"]["list"]
    if variable["type"] == "query"
]
NOTES = [
    (uid, note["expr"])
    for uid, board in DASHBOARDS.items()
    for note in board["annotations"]["list"]
    if "expr" in note
]
PAGES = [*map(Page, sorted(RUNBOOKS.glob("*.md"))), Page(ROOT / "docs" / "operating.md")]
BLOCKS = [(str(page), query) for page in PAGES for query in page.blocks("promql")]
SCRAPED = 2  # the API and the job workers
# One alert of each component, so that every panel of alerts has one to show.
ALERTS = ("ApiErrorBudgetBurn", "InferenceSaturated", "JobsErrorBudgetBurn")
DRILLED = {f"drill_{name}": action for name, action in predictions("drill").items()}
ACTIONS = {
    **healthy("classification"),
    **DRILLED,
    "failing_job": job(UNKNOWN_PROMPT),
    "burst": burst("drill"),
    "guess": guess,
}


@dataclass(frozen=True)
class Seen:
    """A stack that has been through it. at: a moment within the traffic, in Unix seconds."""

    stack: Stack
    traffic: Traffic
    at: float

    @property
    def prometheus(self) -> Prometheus:
        return self.stack.prometheus

    def quick(self, expr: str) -> str:
        """A query as Grafana sends it where all is chosen, with the stack's windows."""
        for name, window in WINDOWS.items():
            expr = expr.replace(name, window)
        return promql(re.sub(r"\$\w+", ".+", expr), self.stack.factor)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    need(*PROMETHEUS)
    need(*ALERTMANAGER)
    settings = {"RESULT_CACHE": "memory", "QUEUE_LIMIT": 4}
    models = "classification,drill,text_to_image"
    with standing(tmp_path_factory.mktemp("panels"), MODELS=models, **settings) as stack:
        with Traffic(stack.url, ACTIONS, stack.key, clients=3) as traffic, model_raises(stack):
            traffic.await_each(ROUNDS)
            for name in ALERTS:
                stack.receiver.await_alert(name, path=WEBHOOK)
            at = moment_of_all(stack)
        rest(stack)
        yield Seen(stack, traffic, at)


def moment_of_all(stack: Stack) -> float:
    """Wait for a moment at which both targets are up, all is recorded and the alerts fire.

    On a busy machine a scrape may fail, or an alert resolve.
    """
    firing = [f'ALERTS{{alertname="{name}",alertstate="firing"}}' for name in ALERTS]
    up = f'count(up{{job=~"vitrine-.+"}} == 1) == {SCRAPED}'
    shown = [up, *recorded(), *firing]
    moments: list[float] = []

    def all_is_shown() -> bool:
        moments.append(time.time())
        return all(stack.prometheus.query(query, moments[-1]) for query in shown)

    wait_until(all_is_shown, "both are up, all is recorded and the alerts fire")
    return moments[-1]


def rest(stack: Stack) -> None:
    """Wait until no job is left, and both targets have been scraped after that."""
    left = 'sum(jobs_queue_messages{state=~"ready|running|delayed"})'

    def none_is_left() -> bool:
        await_scrapes(stack)
        return stack.prometheus.value(left) == 0

    wait_until(none_is_left, "every job has ended")
    await_scrapes(stack)


def await_scrapes(stack: Stack) -> None:
    """Wait until both targets have answered from now on; one that fails takes its counts along."""
    value, moment = stack.prometheus.value, time.time()
    since = f'count(timestamp(up{{job=~"vitrine-.+"}} == 1) > {moment})'
    wait_until(lambda: value(since) == SCRAPED, "both are scraped")


def installed(target: Target) -> bool:
    """Whether what a query asks of can be there: Valkey's exporter is an option."""
    if "redis_" not in target.model["expr"]:
        return True
    try:
        return bool(binary(*EXPORTER))
    except NotInstalled:
        return False


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_a_panel_shows_something_that_makes_sense(seen, target):
    """Every query has an answer, in the unit that the panel says."""
    if not installed(target):
        pytest.skip("Valkey's exporter is not installed: make tools")
    samples = seen.prometheus.query(seen.quick(target.model["expr"]), seen.at)
    assert not nonsense(target, samples, seen.traffic)


@pytest.mark.parametrize(
    ("uid", "title", "values"),
    [
        ("vitrine-overview", "Targets", [1, 1]),
        ("vitrine-api", "Instances up", [1]),
        ("vitrine-api", "Workers missing", [0]),
        ("vitrine-api", "Workers", [2, 2]),
        ("vitrine-api", "Sign-ins that fail", [1]),
        ("vitrine-api", "Quota exhausted", [0]),
        ("vitrine-api", "Limit store", [1]),
        ("vitrine-inference", "Models not loaded", [0]),
        ("vitrine-jobs", "Broker", [1]),
        ("vitrine-jobs", "Workers", [1, 1]),
        ("vitrine-runtime", "Targets down", [0]),
        ("vitrine-runtime", "Watchdog", [1]),
        ("vitrine-runtime", "Configuration", [1, 1]),
    ],
)
def test_a_panel_whose_value_is_known_shows_it(seen, uid, title, values):
    """What the stack is made of: one API with two workers, one job worker, nothing down."""
    queries = [one.model["expr"] for one in targets_of(uid) if one.panel.model["title"] == title]
    answers = [seen.prometheus.query(seen.quick(query), seen.at) for query in queries]
    assert [sample.value for samples in answers for sample in samples] == values


@pytest.mark.parametrize(("uid", "query"), VARIABLES)
def test_a_variable_offers_values(seen, uid, query):
    """What a person chooses from at the head of a dashboard."""
    selector, label = re.fullmatch(r"label_values\((.+), (\w+)\)", query).groups()
    values = seen.prometheus.label_values(label, selector)
    assert values
    assert all(values)


@pytest.mark.parametrize(("uid", "expr"), NOTES)
def test_a_query_of_notes_runs(seen, uid, expr):
    """Deploys and alerts as lines in the graphs; most of the time there is none."""
    for sample in seen.prometheus.query(seen.quick(expr), seen.at):
        assert sample.value >= 1


@pytest.mark.parametrize("name", sorted(recorded()))
def test_a_recording_rule_records(seen, name):
    """Each has a value, and ratios are ratios."""
    samples = seen.prometheus.query(name, seen.at)
    known = [sample.value for sample in samples if sample.known]
    assert known
    if ":ratio_rate" in name:
        assert all(0 <= value <= 1 for value in known)
    if name.startswith("slo:"):
        assert len(known) == len(samples) == 4
        assert {s.labels["slo"] for s in samples} == {
            "availability",
            "latency",
            "jobs",
            "freshness",
        }
    assert all(math.isfinite(value) for value in known)


def test_every_rule_is_evaluated_without_a_fault(seen):
    """Recording rules and alerts, scaled as they are."""
    rules = seen.prometheus.rules()
    assert {rule["name"] for rule in rules} >= recorded()
    assert not [(rule["name"], rule["lastError"]) for rule in rules if rule["health"] != "ok"]


@pytest.mark.parametrize(
    ("outcome", "statuses"),
    [("ok", [200]), ("invalid", [413, 422]), ("overload", [503]), ("error", [500])],
)
def test_predictions_are_counted_to_the_last(seen, outcome, statuses):
    """As many as the callers say, over all workers; some of each kind. A scrape may fail."""
    counted = seen.prometheus.value(
        f'sum(last_over_time(inference_requests_total{{model="drill",outcome="{outcome}"}}[5m]))'
    )
    told = [seen.traffic.count(*DRILLED, "burst", status=status) for status in statuses]
    assert all(told)
    assert counted == sum(told)


@pytest.mark.parametrize("status", [200, 413, 422, 500, 503])
def test_requests_are_counted_to_the_last(seen, status):
    """By status, at the routes of predictions."""
    asked = [*DRILLED, *predictions("classification"), "burst"]
    handler = "/v1/models/.+/predictions"
    counted = seen.prometheus.value(
        f'sum(last_over_time(http_requests_total{{handler=~"{handler}",status="{status}"}}[5m]))'
    )
    assert counted == seen.traffic.count(*asked, status=status) > 0


def test_jobs_are_counted_to_the_last(seen):
    """Each that was accepted was sent and has ended; those with a word that nobody knows failed."""
    accepted = seen.traffic.count("job", "cancelled_job", "failing_job", status=202)
    failed = seen.traffic.count("failing_job", status=202)

    def ended(selector: str) -> float:  # a scrape may fail at any time
        return seen.prometheus.value(f"sum(last_over_time(jobs_total{{{selector}}}[5m]))")

    assert ended('job=~"vitrine-.+"') == accepted > 0
    assert ended('outcome="failed"') == failed > 0


@pytest.mark.parametrize(("page", "query"), BLOCKS)
def test_a_query_of_a_page_for_people_on_call_runs(seen, page, query):
    """As it is pasted; whether it finds something is the incident's business."""
    seen.prometheus.query(query)
    seen.prometheus.query(seen.quick(query), seen.at)
