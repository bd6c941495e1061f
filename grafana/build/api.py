"""The dashboard API answers: which handler, which status, which worker."""

from grafana_foundation_sdk.models import dashboard as dash

from grafana.build import accounts, common, limits, processes, traffic
from grafana.build.figures import number
from grafana.build.frame import choice, source
from grafana.build.graphs import Lines, graph, heat
from grafana.build.layout import Section, Shelf, dashboard
from grafana.build.queries import API, INSTANCE, Query, aggregate, buckets, metric, quantile, rate
from grafana.build.style import About, Display

HERE = (API, INSTANCE)
HANDLER = 'handler=~"$handler"'
CHOSEN = (*HERE, HANDLER)
DURATION = "http_request_duration_seconds"
# No warning colour: a route is not good or bad. Unknown and operating routes are grey.
ROUTES = {
    ".+": "text",
    "/v1/": "green",
    "/jobs": "purple",
    "/predictions$": "blue",
}
REASONS = {
    "^overload$": "red",
    "^too_large$": "orange",
    "^invalid$": "yellow",
    "^unauthorized$": "purple",
    "^quota$": "blue",
    "^rate$": "light-blue",
}


def api() -> dash.Dashboard:
    """Requests, from the outside in."""
    return dashboard(
        "vitrine-api",
        "API",
        "Which handler, which status, which worker?",
        [
            source(),
            choice("instance", "Instance", metric("up", API)),
            choice("handler", "Handler", metric("http_requests_total", API)),
        ],
        [_objectives(), _requests(), accounts.section(*HERE), _saturation(), _inside()],
    )


def _objectives() -> Section:
    return Section(
        "Objectives and alerts",
        [
            Shelf(
                4,
                [
                    (6, common.objective("availability")),
                    (6, common.objective("latency")),
                    (6, _up()),
                    (6, processes.missing(*HERE)),
                ],
            ),
            Shelf(7, [(12, common.alerts("api")), (12, common.readiness(*HERE))]),
        ],
    )


def _up() -> dash.Panel:
    about = About(
        "Instances up",
        "Share of the API's targets that Prometheus can scrape.",
        "100 %.",
        "0 is ApiDown; less than 100 % is ApiInstanceDown: an instance stopped or cannot start.",
    )
    display = Display("percentunit", 0, 0, 1, nothing="no target", steps=limits.above(1, 0.5))
    return number(about, display, [Query(f"avg({metric('up', *HERE)})")])


def _requests() -> Section:
    return Section(
        "Rate, errors, duration",
        [
            Shelf(8, [(12, _by_handler()), (12, traffic.by_status(*CHOSEN))]),
            Shelf(
                8,
                [(12, _faults()), (6, _refused()), (6, traffic.failing(*HERE, only=(HANDLER,)))],
            ),
            Shelf(8, [(12, _slow()), (6, traffic.latency(*CHOSEN)), (6, _spread())]),
        ],
    )


def _by_handler() -> dash.Panel:
    about = About(
        "Requests by handler",
        "Requests answered in a second, stacked by route and method.",
        "the usual mixture.",
        "a jump of one route is usually one client: the log's `request_served` has `client`.",
    )
    query = rate("http_requests_total", *CHOSEN, by=("method", "handler"))
    how = Lines(stacked=True, families=ROUTES)
    return graph(about, Display("reqps"), [Query(query, "{{method}} {{handler}}")], how)


def _faults() -> dash.Panel:
    about = About(
        "5xx by handler",
        "5xx responses in a second, by route and status.",
        "no errors.",
        "500: a bug, in the log as `request_failed` or `prediction_failed` with traceback; 503: "
        "overload, or a dependency that /ready names; 504: `prediction_gave_up`.",
    )
    query = rate("http_requests_total", *CHOSEN, traffic.FAULTS, by=("handler", "status"))
    display = Display("reqps", nothing="no errors")
    colours = {"^500": "red", "^503": "orange", "^504": "purple"}
    how = Lines(stacked=True, colours=colours, values=("max",))
    return graph(about, display, [Query(query, "{{status}} {{handler}}")], how)


def _refused() -> dash.Panel:
    about = About(
        "Refused, by reason",
        "Requests rejected before a prediction, in a second. The reasons are counted for the whole "
        "instance, not by handler.",
        "no overload; some too_large, invalid and unauthorized is normal on the open internet.",
        "overload: InferenceSaturated. unauthorized, quota or rate: see Accounts below.",
    )
    query = rate("http_requests_rejected_total", *HERE, by=("reason",))
    how = Lines(stacked=True, colours=REASONS)
    return graph(about, Display("reqps"), [Query(query, "{{reason}}")], how)


def _slow() -> dash.Panel:
    about = About(
        "p99 by handler",
        "99 % of the answered requests of a route took at most this long.",
        "predictions below their model's `model_slo_seconds`, all else far below.",
        "predictions: open Inference. All routes at once: check the event loop and the processors.",
    )
    query = quantile(0.99, DURATION, *CHOSEN, by=("method", "handler"))
    how = Lines(values=("max",))
    return graph(about, Display("s"), [Query(query, "{{method}} {{handler}}")], how)


def _spread() -> dash.Panel:
    about = About(
        "How long requests take",
        "The distribution of durations over time; the warmer a cell, the more requests.",
        "one narrow band.",
        "two bands are two kinds of work, or cached results beside new ones; a rising band is a "
        "queue.",
    )
    return heat(about, "s", buckets(DURATION, *CHOSEN))


def _saturation() -> Section:
    return Section(
        "Saturation",
        [
            Shelf(
                7,
                [
                    (8, _in_progress()),
                    (8, traffic.admitted(*HERE)),
                    (8, processes.lag(*HERE)),
                ],
            ),
            Shelf(7, [(8, common.workers(*HERE)), (8, processes.exits(*HERE)), (8, _lost())]),
        ],
    )


def _in_progress() -> dash.Panel:
    about = About(
        "Requests in progress",
        "Requests in progress, by instance.",
        "even over the instances.",
        "one instance alone: the others are not ready, or the load balancer reuses connections. "
        "All: something is slow, check the latency.",
    )
    query = aggregate("sum", metric("http_requests_inprogress", *HERE), "instance")
    return graph(about, Display("short", 0), [Query(query, "{{instance}}")])


def _lost() -> dash.Panel:
    about = About(
        "Requests lost with a worker",
        "Requests in a second without a response because their worker was killed, timed out or "
        "crashed; no other metric counts them.",
        "0.",
        "the exits beside it name the reason: `killed` is often out of memory, `timeout` a blocked "
        "loop or a hung forward pass. The runbook is ApiWorkerCrashLoop.",
    )
    query = rate("http_requests_lost_total", *HERE, by=("instance",))
    display = Display("reqps", nothing="no target")
    return graph(about, display, [Query(query, "{{instance}}")], Lines(colours={".+": "purple"}))


def _inside() -> Section:
    return Section(
        "Inside",
        [
            Shelf(
                7,
                [
                    (4, _by_instance()),
                    (4, _bodies()),
                    (4, _encodings()),
                    (4, _check_times()),
                    (8, processes.log(*HERE)),
                ],
            )
        ],
    )


def _by_instance() -> dash.Panel:
    about = About(
        "Requests by instance",
        "Requests answered in a second, by instance.",
        "even.",
        "an instance without requests is not ready, or missing in the load balancer.",
    )
    query = rate("http_requests_total", *CHOSEN, by=("instance",))
    return graph(about, Display("reqps"), [Query(query, "{{instance}}")])


def _bodies() -> dash.Panel:
    about = About(
        "Size of bodies",
        "Median and 95th percentile of the size of request bodies.",
        "below some megabytes.",
        "larger uploads take time to receive and to decode: ask clients to reduce images first.",
    )
    queries = [
        Query(quantile(q, "http_request_body_bytes", *CHOSEN), f"p{q * 100:g}") for q in (0.5, 0.95)
    ]
    return graph(about, Display("decbytes"), queries, Lines(colours=traffic.QUANTILES))


def _encodings() -> dash.Panel:
    about = About(
        "Inputs by encoding",
        "Inputs of predictions and jobs read in a second, by how the client sent them.",
        "the usual mixture.",
        "one that appears or vanishes: a client was changed. Base64 costs a third more bytes.",
    )
    sent = rate("inference_inputs_total", *HERE, by=("encoding",))
    return graph(about, Display("reqps"), [Query(sent, "{{encoding}}")], Lines(stacked=True))


def _check_times() -> dash.Panel:
    about = About(
        "Time of the readiness checks",
        "How long each check of /ready took the last time.",
        "some milliseconds.",
        "a slow database or storage is about to fail: see its own monitoring.",
    )
    query = aggregate("max", metric("readiness_check_duration_seconds", *HERE), "check")
    display = Display("s", nothing="no scrape of the API")
    return graph(about, display, [Query(query, "{{check}}")])
