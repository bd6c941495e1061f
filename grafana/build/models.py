"""Panels of the models themselves: versions, backends, loading."""

from grafana_foundation_sdk.models import dashboard as dash

from grafana.build import limits
from grafana.build.figures import Column, number, rows
from grafana.build.graphs import graph
from grafana.build.layout import Section, Shelf
from grafana.build.queries import Query, aggregate, gained, known, metric, quantile, rate, share
from grafana.build.style import About, Display

STAGE = "inference_stage_duration_seconds"
LOADED = {"0": ("not loaded", limits.RED), "1": ("loaded", limits.GREEN)}
KINDS = {"vitrine-api": ("API", limits.GREY), "vitrine-worker": ("job worker", limits.GREY)}
FAILED = 'outcome=~"error|timeout|overload"'


def not_loaded(*matchers: str) -> dash.Panel:
    """The number of models that are not loaded."""
    about = About(
        "Models not loaded",
        "Models that at least one worker has not loaded.",
        "0.",
        "the table below names them; `model_load_failed` in the log says why: ModelNotLoaded.",
    )
    loaded = aggregate("min", metric("model_loaded", *matchers), "model")
    display = Display(
        "short", 0, nothing="no model", steps=limits.steps(limits.GREEN, (1, limits.RED))
    )
    return number(about, display, [Query(f"count({loaded}) - sum({loaded})")])


def served(*matchers: str) -> dash.Panel:
    """One row for each model of the API, and of the job workers."""
    about = About(
        "Models",
        "The models of the API and of the job workers: version, backend, weights, whether every "
        "worker has loaded it, its current figures, and in the API the time within which a "
        "prediction counts as good.",
        "one row for each model and kind of process, loaded, without failures.",
        "two rows of one model in one kind are two versions or backends at once: a deploy, or "
        "machines that differ.",
    )
    by = ("job", "model")
    asked = rate("inference_requests_total", *matchers, by=by)
    failed = rate("inference_requests_total", *matchers, FAILED, by=by)
    info = metric("model_info", *matchers)
    queries = [
        Query(aggregate("count", info, *by, "version", "backend", "weights")),
        Query(aggregate("min", metric("model_loaded", *matchers), *by)),
        Query(asked),
        Query(share(failed, asked)),
        Query(known(quantile(0.95, STAGE, *matchers, 'stage="forward"', by=by))),
        Query(aggregate("max", metric("model_load_duration_seconds", *matchers), *by)),
        Query(aggregate("max", metric("model_slo_seconds", *matchers), *by)),
    ]
    failing = limits.below(limits.OVERLOAD_SHARE, 0.001)
    columns = [
        Column("model", "model", width=200),
        Column("job", "served by", Display("string", words=KINDS, coloured=False), 100),
        Column("B", "state", Display("short", words=LOADED, steps=limits.above(1)), 100),
        Column("version", "version", width=80),
        Column("backend", "backend", width=130),
        Column("weights", "weights"),
        Column("A", "instances", Display("short", 0, coloured=False), 85),
        Column("C", "asked", Display("reqps", 1, coloured=False), 90),
        Column("D", "failing", Display("percentunit", 1, steps=failing), 75),
        Column("E", "forward p95", Display("s", coloured=False), 100),
        Column("F", "load time", Display("s", 1, coloured=False), 85),
        Column("G", "good within", Display("s", coloured=False), 100),
    ]
    return rows(about, Display("short", nothing="no model"), queries, columns, ("model", False))


def inside(here: tuple[str, ...], anywhere: tuple[str, ...]) -> Section:
    """Result cache, loading, backends, failed batches."""
    return Section(
        "Inside",
        [
            Shelf(
                7,
                [
                    (6, _cache(*here)),
                    (6, _loads(*anywhere)),
                    (6, _backends(*anywhere)),
                    (6, _batches(*anywhere)),
                ],
            )
        ],
    )


def _cache(*matchers: str) -> dash.Panel:
    about = About(
        "Kept results that were used",
        "Share of predictions that came from the result cache, by model.",
        "as high as your clients' share of repeated images.",
        "a drop: the cache was cleared (`DELETE /v1/cache`), or "
        "`result_cache_not_answering` in the log.",
    )
    whole = rate("inference_cache_total", *matchers, by=("model",))
    part = rate("inference_cache_total", *matchers, 'result="hit"', by=("model",))
    display = Display("percentunit", None, 0, 1, nothing="RESULT_CACHE is off, or no traffic")
    return graph(about, display, [Query(share(part, whole), "{{model}}")])


def _loads(*matchers: str) -> dash.Panel:
    about = About(
        "Loads that failed",
        "Failed loads of a model in this window; the worker retries.",
        "none.",
        "`model_load_failed` in the log has the traceback: ModelNotLoaded.",
    )
    return _counts(about, gained("model_load_failures_total", *matchers, by=("model",)))


def _backends(*matchers: str) -> dash.Panel:
    about = About(
        "Backends passed over",
        "Backends that broke or returned other outputs than torch, so that a slower one is used.",
        "none.",
        "the predictions are right but slower than possible: `backend_passed_over` in the log.",
    )
    expr = gained("model_backend_failures_total", *matchers, by=("backend",))
    return _counts(about, expr, "{{backend}}")


def _batches(*matchers: str) -> dash.Panel:
    about = About(
        "Batches that failed",
        "Forward passes for several images that raised, so that each image ran again alone.",
        "none.",
        "each such batch takes twice the time: `batch_failed_and_is_run_one_by_one` in the log.",
    )
    return _counts(about, gained("inference_batch_failures_total", *matchers, by=("model",)))


def _counts(about: About, expr: str, legend: str = "{{model}}") -> dash.Panel:
    display = Display("short", 0, nothing="none", steps=limits.steps(limits.GREEN, (1, limits.RED)))
    return number(about, display, [Query(expr, legend)])
