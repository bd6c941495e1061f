"""Panels of requests for several dashboards: rate, errors, duration, saturation."""

from grafana_foundation_sdk.models import dashboard as dash

from grafana.build import limits
from grafana.build.graphs import Lines, graph
from grafana.build.queries import (
    Query,
    aggregate,
    metric,
    quantiles,
    rate,
    share,
)
from grafana.build.style import About, Display

FAULTS = 'status=~"5.."'
STATUSES = {  # a colour for each class, and a shade of it for single statuses; the last match wins
    "^2..$": "green",
    "^202$": "super-light-green",
    "^204$": "dark-green",
    "^3..$": "blue",
    "^4..$": "yellow",
    "^40[13]$": "semi-dark-yellow",
    "^404$": "super-light-yellow",
    "^429$": "light-yellow",
    "^499$": "dark-yellow",
    "^5..$": "red",
    "^503$": "light-red",
    "^504$": "dark-red",
}
QUANTILES = {"^p50$": "green", "^p95$": "orange", "^p99$": "red"}


def by_status(*matchers: str) -> dash.Panel:
    """Requests a second, stacked by status."""
    about = About(
        "Requests by status",
        "Requests answered in a second; 2xx green, 4xx yellow, 5xx red.",
        "green; some yellow is clients' mistakes, or 401 of strangers.",
        "red is ours: 500 a bug, 503 overload or a missing dependency, 504 a missed deadline.",
    )
    queries = [Query(rate("http_requests_total", *matchers, by=("status",)), "{{status}}")]
    how = Lines(stacked=True, colours=STATUSES)
    return graph(about, Display("reqps"), queries, how)


def failing(*matchers: str, only: tuple[str, ...] = ()) -> dash.Panel:
    """The share of requests that fail, with a response or without.

    only: which handlers; the handler of a lost request is unknown, so those are a share of all.
    """
    about = About(
        "Requests that fail",
        "Share of requests answered 5xx, and of those that died with their worker; dashed what "
        "the objective allows.",
        "below the dashed line.",
        "open API: which handler and status? Lost ones come with workers' exits.",
    )
    chosen, every = (rate("http_requests_total", *matchers, *more) for more in (only, ()))
    lost = rate("http_requests_lost_total", *matchers)
    queries = [
        Query(share(rate("http_requests_total", *matchers, *only, FAULTS), chosen), "answered 5xx"),
        Query(share(lost, f"({every} + {lost})"), "lost with a worker"),
    ]
    allowed = 1 - limits.OBJECTIVES["availability"]
    steps = limits.steps("transparent", (allowed, limits.RED))
    colours = {"5xx": "red", "lost": "purple"}
    how = Lines(colours=colours, limited=True, soft=5 * allowed)
    return graph(about, Display("percentunit", 2, steps=steps), queries, how)


def latency(*matchers: str) -> dash.Panel:
    """Quantiles of the duration of requests."""
    about = About(
        "Latency of predictions",
        "Median, 95th and 99th percentile of the answered predictions of all chosen models.",
        "p99 below what the slowest model may take: `model_slo_seconds`.",
        "open Inference: a longer queue is load, a longer forward pass the model or its processor.",
    )
    queries = quantiles("http_request_duration_seconds", *matchers)
    return graph(about, Display("s"), queries, Lines(colours=QUANTILES))


def slow(*matchers: str) -> dash.Panel:
    """The share of predictions that took longer than their model may, by model."""
    about = About(
        "Predictions that are slow, by model",
        "Share of a model's answered predictions that took longer than its `model_slo_seconds`; "
        "dashed what the objective allows over all models.",
        "below the dashed line.",
        "open Inference: a longer queue is load, a longer forward pass the model or its processor. "
        "The runbook is ApiLatencyBudgetBurn.",
    )
    whole = rate("slo_latency_total", *matchers, by=("model",))
    part = rate("slo_latency_total", *matchers, 'result="slow"', by=("model",))
    allowed = 1 - limits.OBJECTIVES["latency"]
    steps = limits.steps("transparent", (allowed, limits.RED))
    display = Display("percentunit", 2, steps=steps)
    how = Lines(limited=True, soft=5 * allowed)
    return graph(about, display, [Query(share(part, whole), "{{model}}")], how)


def admitted(*matchers: str) -> dash.Panel:
    """The fill of the models' queues."""
    about = About(
        "Queues of the models",
        "Predictions admitted and not yet answered, as a share of the limit, by model.",
        "well below 100 %.",
        "at 100 % clients get a 503 at once: add instances, or find what made the model slow. "
        "The runbook is InferenceSaturated.",
    )
    depth = aggregate("sum", metric("inference_queue_depth", *matchers), "model")
    limit = aggregate("sum", metric("inference_queue_limit", *matchers), "model")
    steps = limits.steps("transparent", (1, limits.RED))
    queries = [Query(f"{depth} / {limit}", "{{model}}")]
    display = Display("percentunit", steps=steps, nothing="no model")
    return graph(about, display, queries, Lines(limited=True, soft=1))


def memory(*matchers: str) -> dash.Panel:
    """Memory as a share of the container's limit."""
    about = About(
        "Memory of the limit",
        "Resident memory of all workers of an instance, as a share of its limit.",
        f"below {limits.MEMORY_SHARE:.0%} and level.",
        "a steady rise is a leak: MAX_REQUESTS replaces workers meanwhile; the runbook is "
        "MemoryNearLimit.",
    )
    by = ("job", "instance")
    used = aggregate("sum", metric("process_worker_resident_memory_bytes", *matchers), *by)
    limit = aggregate("max", metric("process_memory_limit_bytes", *matchers), *by)
    steps = limits.steps("transparent", (limits.MEMORY_SHARE, limits.RED))
    queries = [Query(f"{used} / {limit}", "{{job}} {{instance}}")]
    display = Display("percentunit", steps=steps, nothing="no target")
    return graph(about, display, queries, Lines(limited=True, soft=1))
