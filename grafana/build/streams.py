"""Panels of live streams: sessions, frames, what is dropped, and how old answers are."""

from grafana_foundation_sdk.models import dashboard as dash

from grafana.build import limits
from grafana.build.figures import number
from grafana.build.graphs import Lines, graph
from grafana.build.layout import Section, Shelf
from grafana.build.queries import API, INSTANCE, Query, aggregate, metric, quantile, rate, share
from grafana.build.style import About, Display

FRAMES = "websocket_frames_total"
RESULTS = {"^processed$": "green", "^dropped$": "orange", "^rejected$": "red"}
OUTCOMES = {
    "^closed$": "green",
    "^restart$": "blue",
    "^idle$": "text",
    "^lost$": "yellow",
    "^refused$": "orange",
    "^invalid$": "purple",
    "^error$": "red",
}


def section(*matchers: str) -> Section:
    """Everything about the streams of the chosen models."""
    return Section(
        "Live streams",
        [
            Shelf(
                4, [(6, _open()), (6, _dropped(*matchers)), (6, _age(*matchers)), (6, _refused())]
            ),
            Shelf(8, [(8, _frames(*matchers)), (8, _ages(*matchers)), (8, _ended(*matchers))]),
        ],
    )


def _open() -> dash.Panel:
    about = About(
        "Open sessions",
        "Live streams that are open now, over all workers and models.",
        "as many as you expect cameras.",
        "each worker takes STREAM_SESSIONS of them; more instances take more.",
    )
    open_now = aggregate("sum", metric("websocket_connections_active", API, INSTANCE))
    return number(about, Display("short", 0), [Query(open_now)])


def _dropped(*matchers: str) -> dash.Panel:
    about = About(
        "Frames dropped",
        "Share of the frames that a newer one replaced before their turn.",
        "below 50 %: a client that waits for answers drops hardly any.",
        f"above {limits.DROPPED_SHARE:.0%} for 10 minutes a ticket: WebsocketFramesDropped.",
    )
    part = rate(FRAMES, *matchers, 'result="dropped"')
    steps = limits.below(limits.DROPPED_SHARE, limits.DROPPED_SHARE / 2)
    display = Display("percentunit", 1, steps=steps)
    return number(about, display, [Query(share(part, rate(FRAMES, *matchers)))])


def _age(*matchers: str) -> dash.Panel:
    about = About(
        "Age of answers, p95",
        "95 % of the answers were sent at most this long after their frame had come.",
        "little more than the stages of one prediction.",
        "open sessions and requests share the model: see the stages below.",
    )
    age = f"{quantile(0.95, 'websocket_frame_age_seconds', *matchers)} >= 0"
    return number(about, Display("s", 3), [Query(age)])


def _refused() -> dash.Panel:
    about = About(
        "Sessions refused",
        "Sessions in a minute for which a worker had no place, or whose query was invalid.",
        "0.",
        "raise STREAM_SESSIONS if processors are idle; else add instances.",
    )
    refused = rate("websocket_connections_total", API, INSTANCE, 'outcome="refused"')
    display = Display("short", 1, steps=limits.steps(limits.GREEN, (0.1, limits.AMBER)))
    return number(about, display, [Query(f"60 * {refused}")])


def _frames(*matchers: str) -> dash.Panel:
    about = About(
        "Frames by result",
        "Frames received in a second: answered, dropped, or answered with a problem.",
        "mostly green.",
        "orange: clients send faster than the model answers. red: frames that are no pictures, or "
        "`prediction_failed` in the log.",
    )
    queries = [Query(rate(FRAMES, *matchers, by=("result",)), "{{result}}")]
    return graph(about, Display("ops"), queries, Lines(stacked=True, colours=RESULTS))


def _ages(*matchers: str) -> dash.Panel:
    about = About(
        "Age of answers by model, p95",
        "95 % of a model's answers were sent at most this long after their frame had come.",
        "flat, however many sessions are open.",
        "it grows with the stages of a prediction: decoding and the forward pass.",
    )
    age = quantile(0.95, "websocket_frame_age_seconds", *matchers, by=("model",))
    return graph(about, Display("s"), [Query(age, "{{model}}")])


def _ended(*matchers: str) -> dash.Panel:
    about = About(
        "Sessions by how they ended",
        "Sessions that ended, in a second, by outcome.",
        "green, and blue at a deploy.",
        "yellow: networks or proxies cut them. red: a fault of ours, `stream_failed` in the log.",
    )
    ended = rate("websocket_connections_total", *matchers, by=("outcome",))
    how = Lines(stacked=True, colours=OUTCOMES)
    return graph(about, Display("ops"), [Query(ended, "{{outcome}}")], how)
