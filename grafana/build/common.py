"""Panels that several dashboards share: objectives, alerts, readiness, workers."""

from grafana_foundation_sdk.models import dashboard as dash

from grafana.build import limits
from grafana.build.figures import number
from grafana.build.graphs import Lines, graph, states
from grafana.build.queries import Query, aggregate, metric
from grafana.build.style import About, Display

UP = {"0": ("down", limits.RED), "1": ("up", limits.GREEN)}
STATES = {"1": ("pending", limits.AMBER), "2": ("firing", limits.RED)}
NO_RULES = "no recording rules"
IN_WORDS = {  # what each objective measures
    "availability": "requests are answered, and not with a 5xx",
    "latency": "predictions are answered within their model's slo_seconds",
    "jobs": "jobs succeed",
    "freshness": f"jobs start within {limits.FRESHNESS_SECONDS} s of being accepted",
}
ELSEWHERE = {
    "availability": "open API: which handler answers 5xx, or which workers die?",
    "latency": "open Inference: which model is slow, and which stage grew?",
    "jobs": "open Jobs: which model's jobs fail?",
    "freshness": "open Jobs: how deep is the queue, and are all workers there?",
}


def of(slo: str) -> str:
    """The matcher of one objective."""
    return f'slo="{slo}"'


def objective(slo: str) -> dash.Panel:
    """How well one objective was met in the last hour, as a number."""
    objective = limits.OBJECTIVES[slo]
    about = About(
        f"{slo.capitalize()}, 1 h",
        f"Share of the last hour in which {IN_WORDS[slo]}.",
        f"{objective:.1%} or more, the objective; red is where an alert pages.",
        ELSEWHERE[slo],
    )
    pages = 1 - limits.BURN_PAGE * (1 - objective)
    steps = limits.above(objective, pages)
    display = Display("percentunit", 2, None, 1, nothing=NO_RULES, steps=steps)
    return number(about, display, [Query(f"1 - {metric('slo:sli_error:ratio_rate1h', of(slo))}")])


def objective_history(slo: str) -> dash.Panel:
    """One objective over time, its limit as a line."""
    about = About(
        slo.capitalize(),
        f"How often {IN_WORDS[slo]}: over 5 minutes, over 1 hour, and the objective (dashed).",
        "both lines above the dashed one; short dips of the 5-minute line only spend budget.",
        ELSEWHERE[slo],
    )
    queries = [
        Query(f"1 - {metric('slo:sli_error:ratio_rate5m', of(slo))}", "5 minutes"),
        Query(f"1 - {metric('slo:sli_error:ratio_rate1h', of(slo))}", "1 hour"),
        Query(metric("slo:objective:ratio", of(slo)), "objective"),
    ]
    display = Display("percentunit", 2, None, 1, nothing=NO_RULES)
    colours = {"^5 minutes$": "super-light-blue", "^1 hour$": "dark-blue"}
    spread = 1 - (1 - limits.OBJECTIVES[slo]) * 5
    how = Lines(colours=colours, dashed="^objective$", from_=spread, soft=1, fill=0)
    return graph(about, display, queries, how)


def alerts(*components: str) -> dash.Panel:
    """Which alerts of some components were pending or firing, and when; of all if none is named."""
    matchers = ['service="vitrine"', 'severity!="none"']
    if components:
        matchers.append(f'component=~"{"|".join(components)}"')
    firing = metric("ALERTS", 'alertstate="firing"', *matchers)
    pending = metric("ALERTS", 'alertstate="pending"', *matchers)
    expr = aggregate("max", f"2 * {firing} or {pending}", "alertname")
    about = About(
        "Alerts",
        "Alerts that were pending (yellow) or firing (red) in this window.",
        "empty.",
        "the alert's own message links its runbook: docs/runbooks/NAME.md.",
    )
    return states(about, [Query(expr, "{{alertname}}")], STATES)


def readiness(*matchers: str) -> dash.Panel:
    """The results of /ready, over time."""
    about = About(
        "Readiness checks",
        "The checks of /ready: each model, the database, the storage, the broker.",
        "green throughout.",
        "a red row names what is unavailable: its runbook is ModelNotLoaded, DatabaseDown, "
        "StorageDown or BrokerDown.",
    )
    expr = aggregate("min", metric("readiness_check_up", *matchers), "check")
    words = {"0": ("fails", limits.RED), "1": ("ready", limits.GREEN)}
    return states(about, [Query(expr, "{{check}}")], words, nothing="no scrape of the API")


def workers(*matchers: str) -> dash.Panel:
    """Workers that serve, and those expected."""
    about = About(
        "Workers",
        "Workers that serve, by instance, and the expected number (dashed).",
        "each line on its dashed one.",
        "check the exits, then the log for `worker_not_started` and `model_load_failed`; "
        "the runbook is ApiWorkersMissing.",
    )
    queries = [
        Query(
            aggregate("sum", metric("server_workers", *matchers), "job", "instance"),
            "{{job}} {{instance}}",
        ),
        Query(
            aggregate("sum", metric("server_workers_expected", *matchers), "job", "instance"),
            "expected {{job}} {{instance}}",
        ),
    ]
    return graph(
        about, Display("short", 0, nothing="no target"), queries, Lines(dashed="^expected")
    )
