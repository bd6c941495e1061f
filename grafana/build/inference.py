"""The dashboard Inference answers: which model, which stage, how sure, how far from usual."""

from grafana_foundation_sdk.models import dashboard as dash

from grafana.build import beliefs, common, limits, models, traffic
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
)
from grafana.build.style import About, Look

HERE = (API, INSTANCE, MODEL)
ANYWHERE = (EITHER, INSTANCE, MODEL)  # long models are loaded by the job workers alone
STAGE = "inference_stage_duration_seconds"
WAITING = 'stage="queue"'
OVERLOAD = 'outcome="overload"'
STAGES = {  # from the upload to the answer, as the stack is read
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
    """The models at work."""
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
            beliefs.section(*HERE),
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
                    (4, common.promise("latency")),
                    (4, models.not_loaded(*ANYWHERE)),
                    (4, _overload()),
                    (4, _wait()),
                    (4, beliefs.unsure(*HERE)),
                    (4, beliefs.furthest(*HERE)),
                ],
            ),
            Shelf(7, [(24, models.served(*ANYWHERE))]),
            Shelf(6, [(24, common.alerts("inference"))]),
        ],
    )


def _overload() -> dash.Panel:
    about = About(
        "Turned away",
        "Share of the predictions asked for that were refused as the queue was full.",
        "0 %.",
        f"above {limits.OVERLOAD_SHARE:.0%} for 5 minutes it pages: InferenceSaturated.",
    )
    part = rate("inference_requests_total", *HERE, OVERLOAD)
    steps = limits.below(limits.OVERLOAD_SHARE, 0.001)
    look = Look("percentunit", 1, steps=steps)
    return number(about, look, [Query(share(part, rate("inference_requests_total", *HERE)))])


def _wait() -> dash.Panel:
    about = About(
        "Wait in the queue, p95",
        "95 % of the predictions waited at most so long for a stream.",
        "some milliseconds.",
        f"above {limits.QUEUE_SECONDS} s for 10 minutes it pages: InferenceSaturated.",
    )
    look = Look("s", steps=limits.below(limits.QUEUE_SECONDS, limits.QUEUE_SECONDS / 2))
    return number(about, look, [Query(known(quantile(0.95, STAGE, *HERE, WAITING)))])


def _requests() -> Section:
    requests = Query(rate("inference_requests_total", *HERE, by=("model",)), "{{model}}")
    outcomes = rate("inference_requests_total", *HERE, by=("outcome",))
    by_model = About(
        "Predictions by model",
        "Predictions asked for in a second, by model.",
        "the usual mixture.",
        "a model that falls to nothing while others go on has failed, or lost its caller.",
    )
    by_outcome = About(
        "Predictions by outcome",
        "Predictions asked for in a second, by how they ended.",
        "green; invalid is callers' pictures.",
        "overload: too much asked. timeout: too slow for the deadline. error: the model raised, in "
        "the log as `prediction_failed`.",
    )
    return Section(
        "Rate, errors, duration",
        [
            Shelf(
                8,
                [
                    (8, graph(by_model, Look("reqps"), [requests], Lines(stacked=True))),
                    (
                        8,
                        graph(
                            by_outcome,
                            Look("reqps"),
                            [Query(outcomes, "{{outcome}}")],
                            Lines(stacked=True, colours=OUTCOMES),
                        ),
                    ),
                    (8, _failing()),
                ],
            ),
            Shelf(8, [(12, _stages()), (12, _spread())]),
            Shelf(8, [(12, _slow_stages()), (12, traffic.latency(API, INSTANCE, PREDICTIONS))]),
        ],
    )


def _failing() -> dash.Panel:
    about = About(
        "Predictions that fail, by model",
        "Share of a model's predictions that ended in error, timeout or overload.",
        "0 %.",
        "one model: its code, weights or pictures. All: the machine, or too many callers.",
    )
    whole = rate("inference_requests_total", *HERE, by=("model",))
    failed = 'outcome=~"error|timeout|overload"'
    part = rate("inference_requests_total", *HERE, failed, by=("model",))
    look = Look("percentunit", 1)
    return graph(about, look, [Query(share(part, whole), "{{model}}")], Lines(soft=0.02))


def _stages() -> dash.Panel:
    about = About(
        "Mean time by stage",
        "What a prediction spends its time on, stacked: the height is the whole. The forward pass "
        "is its batch's.",
        "mostly blue, the forward pass; hardly any red, waiting.",
        "red grows: load. orange: larger pictures. blue: another backend, a busy processor, "
        "another version (a blue mark).",
    )
    how = Lines(stacked=True, colours=STAGES, values=("lastNotNull", "max"))
    queries = [Query(mean(STAGE, *HERE, f'stage="{stage[1:-1]}"'), stage[1:-1]) for stage in STAGES]
    return graph(about, Look("s"), queries, how)


def _spread() -> dash.Panel:
    about = About(
        "How long predictions take",
        "How many predictions took how long, from the request's head to the answer's end.",
        f"one band, below {limits.LATENCY_SECONDS} s.",
        "a second band: kept results, or a second kind of pictures. A band that climbs: a queue.",
    )
    expr = buckets("http_request_duration_seconds", API, INSTANCE, PREDICTIONS)
    return heat(about, "s", expr)


def _slow_stages() -> dash.Panel:
    about = About(
        "p95 by stage",
        "95 % of the predictions took at most so long in each stage.",
        "waiting and decoding far below the forward pass.",
        "the stage that rises says where to look; means hide what only some callers feel.",
    )
    query = quantile(0.95, STAGE, *HERE, by=("stage",))
    return graph(about, Look("s"), [Query(query, "{{stage}}")], Lines(colours=STAGES))


def _saturation() -> Section:
    return Section("Saturation", [Shelf(7, [(8, _depth()), (8, _waits()), (8, _batches())])])


def _depth() -> dash.Panel:
    about = About(
        "Queue against its limit",
        "Predictions admitted and not yet answered, by model, and how many may be (dashed).",
        "far below the dashed line.",
        "at it callers get a 503 at once. More instances help; a higher QUEUE_LIMIT only makes "
        "them wait.",
    )
    queries = [
        Query(aggregate("sum", metric("inference_queue_depth", *HERE), "model"), "{{model}}"),
        Query(aggregate("sum", metric("inference_queue_limit", *HERE), "model"), "limit {{model}}"),
    ]
    return graph(about, Look("short", 0, nothing="no model"), queries, Lines(dashed="^limit "))


def _waits() -> dash.Panel:
    about = About(
        "Wait in the queue by model, p95",
        "95 % of a model's predictions waited at most so long; dashed where it pages.",
        f"below {limits.QUEUE_SECONDS} s.",
        "more instances, or fewer callers: InferenceSaturated.",
    )
    steps = limits.steps("transparent", (limits.QUEUE_SECONDS, limits.RED))
    query = quantile(0.95, STAGE, *HERE, WAITING, by=("model",))
    return graph(about, Look("s", steps=steps), [Query(query, "{{model}}")], Lines(limited=True))


def _batches() -> dash.Panel:
    about = About(
        "Pictures in a forward pass",
        "The mean size of batches, by model; they form only from what already waits.",
        "1 when idle, more under load.",
        "1 under load: INFERENCE_BATCH was measured as 1 at load (`model_loaded` in the log).",
    )
    query = mean("inference_batch_size", *HERE, by=("model",))
    return graph(about, Look("short", 1), [Query(query, "{{model}}")])
