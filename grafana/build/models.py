"""Panels of the models themselves: what is served by what, and how loading went."""

from grafana_foundation_sdk.models import dashboard as dash

from grafana.build import limits
from grafana.build.figures import Column, number, rows
from grafana.build.graphs import graph
from grafana.build.layout import Section, Shelf
from grafana.build.queries import Query, aggregate, gained, known, metric, rate, share
from grafana.build.style import About, Look

STAGE = "inference_stage_duration_seconds"
LOADED = {"0": ("not loaded", limits.RED), "1": ("loaded", limits.GREEN)}
COUNT = {"0": ("none", limits.GREEN)}


def not_loaded(*matchers: str) -> dash.Panel:
    """How many models lack their weights."""
    about = About(
        "Models not loaded",
        "Models whose weights at least one worker lacks.",
        "0.",
        "the table below names them; `model_load_failed` in the log says why: ModelNotLoaded.",
    )
    loaded = aggregate("min", metric("model_loaded", *matchers), "model")
    look = Look("short", 0, nothing="no model", steps=limits.steps(limits.GREEN, (1, limits.RED)))
    return number(about, look, [Query(f"count({loaded}) - sum({loaded})")])


def served(*matchers: str) -> dash.Panel:
    """One row for each model."""
    about = About(
        "Models",
        "What is served: version, backend and weights, whether every worker has it, and how it "
        "did in the last five minutes.",
        "one row for each model, loaded, without failures.",
        "two rows of one model are two versions or backends at once: a deploy, or machines that "
        "differ.",
    )
    asked = aggregate("sum", f"rate({metric('inference_requests_total', *matchers)}[5m])", "model")
    failed = metric("inference_requests_total", *matchers, 'outcome=~"error|timeout|overload"')
    forward = metric(STAGE + "_bucket", *matchers, 'stage="forward"')
    slow = aggregate("sum", f"rate({forward}[5m])", "le", "model")
    queries = [
        Query(
            aggregate(
                "count",
                metric("model_info", *matchers),
                *("model", "version", "backend", "weights"),
            )
        ),
        Query(aggregate("min", metric("model_loaded", *matchers), "model")),
        Query(asked),
        Query(share(aggregate("sum", f"rate({failed}[5m])", "model"), asked)),
        Query(known(f"histogram_quantile(0.95, {slow})")),
        Query(aggregate("max", metric("model_load_duration_seconds", *matchers), "model")),
    ]
    failing = limits.below(limits.OVERLOAD_SHARE, 0.001)
    columns = [
        Column("model", "model"),
        Column("version", "version", width=90),
        Column("backend", "backend", width=130),
        Column("weights", "weights"),
        Column("A", "instances", Look("short", 0, coloured=False), 90),
        Column("B", "state", Look("short", words=LOADED, steps=limits.above(1)), 100),
        Column("C", "asked", Look("reqps", 1, coloured=False), 90),
        Column("D", "failing", Look("percentunit", 1, steps=failing), 80),
        Column("E", "forward p95", Look("s", coloured=False), 110),
        Column("F", "load time", Look("s", 1, coloured=False), 90),
    ]
    return rows(about, Look("short", nothing="no model"), queries, columns, ("model", False))


def inside(*matchers: str) -> Section:
    """Loading, backends, batches that broke, kept results."""
    return Section(
        "Inside",
        [
            Shelf(
                7,
                [
                    (6, _cache(*matchers)),
                    (6, _loads(*matchers)),
                    (6, _backends(*matchers)),
                    (6, _batches(*matchers)),
                ],
            )
        ],
    )


def _cache(*matchers: str) -> dash.Panel:
    about = About(
        "Kept results that were used",
        "Share of predictions that were found among the kept results, by model.",
        "as high as your callers repeat themselves.",
        "a fall: kept results were forgotten (`DELETE /v1/cache`), or "
        "`result_cache_not_answering` in the log.",
    )
    whole = rate("inference_cache_total", *matchers, by=("model",))
    part = rate("inference_cache_total", *matchers, 'result="hit"', by=("model",))
    look = Look("percentunit", 0, 0, 1, nothing="RESULT_CACHE is off, or no traffic")
    return graph(about, look, [Query(share(part, whole), "{{model}}")])


def _loads(*matchers: str) -> dash.Panel:
    about = About(
        "Loads that failed",
        "How often loading a model failed in this window; it is tried again.",
        "none.",
        "`model_load_failed` in the log has the traceback: ModelNotLoaded.",
    )
    return _counts(about, gained("model_load_failures_total", *matchers, by=("model",)))


def _backends(*matchers: str) -> dash.Panel:
    about = About(
        "Backends passed over",
        "Backends that broke or gave other answers than torch, so that a slower one serves.",
        "none.",
        "the model is right but slower than it might be: `backend_passed_over` in the log.",
    )
    expr = gained("model_backend_failures_total", *matchers, by=("model", "backend"))
    return _counts(about, f"{expr} > 0 or sum({expr})", "{{model}} {{backend}}")


def _batches(*matchers: str) -> dash.Panel:
    about = About(
        "Batches that failed",
        "Forward passes for several pictures that raised, and whose pictures were run singly.",
        "none.",
        "the model costs twice the time then: `batch_failed_and_is_run_one_by_one` in the log.",
    )
    return _counts(about, gained("inference_batch_failures_total", *matchers, by=("model",)))


def _counts(about: About, expr: str, legend: str = "{{model}}") -> dash.Panel:
    look = Look("short", 0, nothing="none", steps=limits.steps(limits.GREEN, (1, limits.RED)))
    return number(about, look, [Query(expr, legend)], trend=False)
