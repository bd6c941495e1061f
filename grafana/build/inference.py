"""The dashboard Inference: which model, which stage, how sure, how far from the baseline."""

from grafana_foundation_sdk.models import dashboard as dash

from grafana.build import common, confidence, limits, models, streams, traffic
from grafana.build.figures import number
from grafana.build.frame import choice, source
from grafana.build.graphs import Lines, graph, heat
from grafana.build.layout import Section, Shelf, dashboard
from grafana.build.queries import (
    API,
    EITHER,
    INSTANCE,
    MODEL,
    PREDICTIONS,
    Query,
    aggregate,
    buckets,
    known,
    mean,
    metric,
    quantile,
    rate,
    share,
    slo_seconds,
)
from grafana.build.style import About, Display

HERE = (API, INSTANCE, MODEL)
ANYWHERE = (EITHER, INSTANCE, MODEL)  # long models are loaded by the job workers alone
STAGE = "inference_stage_duration_seconds"
WAITING = 'stage="queue"'
OVERLOAD = 'outcome="overload"'
STAGES = {  # from the upload to the response, in the order of the stack
    "^queue$": "red",
    "^decode$": "orange",
    "^preprocess$": "yellow",
    "^forward$": "blue",
    "^postprocess$": "green",
}
OUTCOMES = {
    "ok$": "green",
    "invalid$": "yellow",
    "cancelled$": "text",
    "overload$": "orange",
    "timeout$": "purple",
    "error$": "red",
}


def inference() -> dash.Dashboard:
    """Requests, stages, queues and outputs of the models."""
    return dashboard(
        "vitrine-inference",
        "Inference",
        "Which model, which stage, how sure, how far from the baseline?",
        [
            source(),
            choice("instance", "Instance", metric("up", EITHER)),
            choice("model", "Model", metric("model_loaded", EITHER)),
        ],
        [
            _objectives(),
            _requests(),
            _saturation(),
            streams.section(*HERE),
            confidence.section(*HERE),
            models.inside(HERE, ANYWHERE),
        ],
    )


def _objectives() -> Section:
    return Section(
        "Objectives and alerts",
        [
            Shelf(
                4,
                [
                    (4, common.objective("latency")),
                    (4, models.not_loaded(*ANYWHERE)),
                    (4, _overload()),
                    (4, _wait()),
                    (4, confidence.unsure(*HERE)),
                    (4, confidence.furthest(*HERE)),
                ],
            ),
            Shelf(7, [(24, models.served(*ANYWHERE))]),
            Shelf(6, [(24, common.alerts("inference"))]),
        ],
    )


def _overload() -> dash.Panel:
    about = About(
        "Turned away",
        "Share of the requested predictions that were rejected for overload.",
        "0 %.",
        f"above {limits.OVERLOAD_SHARE:.0%} for 5 minutes an alert pages: InferenceSaturated.",
    )
    part = rate("inference_requests_total", *HERE, OVERLOAD)
    steps = limits.below(limits.OVERLOAD_SHARE, 0.001)
    display = Display("percentunit", 1, steps=steps)
    return number(about, display, [Query(share(part, rate("inference_requests_total", *HERE)))])


def _wait() -> dash.Panel:
    about = About(
        "Wait in the queue, p95",
        "95 % of a model's predictions waited at most this long for a thread, divided by its "
        "`model_slo_seconds`; of the worst model.",
        "near 0.",
        f"above {limits.QUEUE_SHARE} for 10 minutes an alert pages: InferenceSaturated.",
    )
    steps = limits.below(limits.QUEUE_SHARE, limits.QUEUE_SHARE / 2)
    waited = known(quantile(0.95, STAGE, *HERE, WAITING, by=("model",)))
    expr = aggregate("max", f"({waited}) / on (model) {slo_seconds(*HERE)}")
    return number(about, Display("short", 2, steps=steps), [Query(expr)])


def _requests() -> Section:
    requests = Query(rate("inference_requests_total", *HERE, by=("model",)), "{{model}}")
    outcomes = rate("inference_requests_total", *HERE, by=("outcome",))
    by_model = About(
        "Predictions by model",
        "Requested predictions in a second, by model.",
        "the usual mixture.",
        "a model that falls to zero while others continue has failed, or lost its client.",
    )
    by_outcome = About(
        "Predictions by outcome",
        "Requested predictions in a second, by outcome.",
        "green; invalid is a fault of the client's image.",
        "overload: too many requests. timeout: too slow for the deadline. error: the model raised, "
        "in the log as `prediction_failed`.",
    )
    return Section(
        "Rate, errors, duration",
        [
            Shelf(
                8,
                [
                    (8, graph(by_model, Display("reqps"), [requests], Lines(stacked=True))),
                    (
                        8,
                        graph(
                            by_outcome,
                            Display("reqps"),
                            [Query(outcomes, "{{outcome}}")],
                            Lines(stacked=True, colours=OUTCOMES),
                        ),
                    ),
                    (8, _failing()),
                ],
            ),
            Shelf(8, [(12, _stages()), (12, _spread())]),
            Shelf(
                8,
                [
                    (8, traffic.slow(*HERE)),
                    (8, traffic.latency(API, INSTANCE, PREDICTIONS)),
                    (8, _slow_stages()),
                ],
            ),
        ],
    )


def _failing() -> dash.Panel:
    about = About(
        "Predictions that fail, by model",
        "Share of a model's predictions that ended in error, timeout or overload.",
        "0 %.",
        "one model: its code, weights or images. All: the machine, or too many clients.",
    )
    whole = rate("inference_requests_total", *HERE, by=("model",))
    failed = 'outcome=~"error|timeout|overload"'
    part = rate("inference_requests_total", *HERE, failed, by=("model",))
    display = Display("percentunit", 1)
    return graph(about, display, [Query(share(part, whole), "{{model}}")], Lines(soft=0.02))


def _stages() -> dash.Panel:
    about = About(
        "Mean time by stage",
        "The mean time of each stage, stacked: the height is the total. The forward pass is that "
        "of the batch.",
        "mostly blue, the forward pass; hardly any red, waiting.",
        "red grows: load. orange: larger images. blue: another backend, a busy processor, "
        "another version (a blue mark).",
    )
    how = Lines(stacked=True, colours=STAGES, values=("lastNotNull", "max"))
    queries = [Query(mean(STAGE, *HERE, f'stage="{stage[1:-1]}"'), stage[1:-1]) for stage in STAGES]
    return graph(about, Display("s"), queries, how)


def _spread() -> dash.Panel:
    about = About(
        "How long predictions take",
        "The distribution of durations, from the request's head to the end of the response.",
        "one band for each model, below its `model_slo_seconds`.",
        "a second band: cached results, or a second kind of images. A rising band: a queue.",
    )
    expr = buckets("http_request_duration_seconds", API, INSTANCE, PREDICTIONS)
    return heat(about, "s", expr)


def _slow_stages() -> dash.Panel:
    about = About(
        "p95 by stage",
        "95 % of the predictions took at most this long in each stage.",
        "waiting and decoding far below the forward pass.",
        "the rising stage is the cause; means hide what affects only some clients.",
    )
    query = quantile(0.95, STAGE, *HERE, by=("stage",))
    return graph(about, Display("s"), [Query(query, "{{stage}}")], Lines(colours=STAGES))


def _saturation() -> Section:
    return Section("Saturation", [Shelf(7, [(8, _depth()), (8, _waits()), (8, _batches())])])


def _depth() -> dash.Panel:
    about = About(
        "Queue against its limit",
        "Predictions admitted and not yet answered, by model, and their limit (dashed).",
        "far below the dashed line.",
        "at the limit clients get a 503 at once. More instances help; a higher QUEUE_LIMIT only "
        "makes them wait.",
    )
    queries = [
        Query(aggregate("sum", metric("inference_queue_depth", *HERE), "model"), "{{model}}"),
        Query(aggregate("sum", metric("inference_queue_limit", *HERE), "model"), "limit {{model}}"),
    ]
    return graph(about, Display("short", 0, nothing="no model"), queries, Lines(dashed="^limit "))


def _waits() -> dash.Panel:
    about = About(
        "Wait in the queue by model, p95",
        "95 % of a model's predictions waited at most this long; dashed where an alert pages, the "
        "model's `model_slo_seconds`.",
        "below the dashed line.",
        "more instances, or fewer clients: InferenceSaturated.",
    )
    queries = [
        Query(quantile(0.95, STAGE, *HERE, WAITING, by=("model",)), "{{model}}"),
        Query(slo_seconds(*HERE), "limit {{model}}"),
    ]
    return graph(about, Display("s"), queries, Lines(dashed="^limit "))


def _batches() -> dash.Panel:
    about = About(
        "Pictures in a forward pass",
        "The mean size of batches, by model; a batch has only images that already wait.",
        "1 when idle, more under load.",
        "1 under load: INFERENCE_BATCH was measured as 1 at load (`model_loaded` in the log).",
    )
    query = mean("inference_batch_size", *HERE, by=("model",))
    return graph(about, Display("short", 1), [Query(query, "{{model}}")])
