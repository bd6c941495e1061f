"""Panels of the models' outputs: confidence, labels, and the distance from the baseline."""

from grafana_foundation_sdk.models import dashboard as dash

from grafana.build import limits
from grafana.build.figures import bars, number
from grafana.build.graphs import Lines, graph, heat
from grafana.build.layout import Section, Shelf
from grafana.build.queries import Query, aggregate, buckets, gained, metric, quantile, rate, share
from grafana.build.style import About, Display

CONFIDENCE = "inference_confidence"
FEATURES = {
    "brightness$": "yellow",
    "contrast$": "orange",
    "pixels$": "blue",
    "label$": "purple",
    "confidence$": "green",
}
DRIFT = limits.steps("transparent", (limits.DRIFT_WATCH, limits.AMBER), (limits.DRIFT, limits.RED))
NO_BASELINE = "no baseline, or too few images yet"


def unsure(*matchers: str) -> dash.Panel:
    """The share of predictions of low confidence."""
    about = About(
        "Unsure",
        f"Share of predictions whose most likely label has a probability below "
        f"{limits.LOW_CONFIDENCE}.",
        "the usual share of your images.",
        f"above {limits.LOW_CONFIDENCE_SHARE:.0%} it is a ticket, LowConfidence: other images "
        "than the model was trained on.",
    )
    steps = limits.below(limits.LOW_CONFIDENCE_SHARE, limits.LOW_CONFIDENCE_SHARE / 2)
    return number(about, Display("percentunit", 0, 0, 1, steps=steps), [Query(_low(*matchers))])


def furthest(*matchers: str) -> dash.Panel:
    """The worst drift."""
    about = About(
        "Furthest from the baseline",
        "The largest population stability index of any feature of any model.",
        f"below {limits.DRIFT_WATCH}.",
        f"above {limits.DRIFT}, with {limits.DRIFT_SAMPLES} samples or more, it is a ticket: "
        "InputDrift. The panel Distance from the baseline names it.",
    )
    steps = limits.below(limits.DRIFT, limits.DRIFT_WATCH)
    display = Display("short", 2, nothing=NO_BASELINE, steps=steps)
    return number(about, display, [Query(f"max({_distance(*matchers)})")])


def _distance(*matchers: str) -> str:
    """Of each model and feature, over all instances, each weighted by its samples.

    The index of a few samples is chance, for example that of a worker with five images.
    """
    samples = metric("drift_window_samples", *matchers)
    weighed = (
        f"{metric('drift_psi', *matchers)} * on (job, instance, model) group_left () {samples}"
    )
    return (
        f"sum by (model, feature) ({weighed}) / on (model) group_left () sum by (model) ({samples})"
    )


def _low(*matchers: str, by: tuple[str, ...] = ()) -> str:
    edge = f'le="{limits.LOW_CONFIDENCE}"'
    return share(
        rate(CONFIDENCE + "_bucket", *matchers, edge, by=by),
        rate(CONFIDENCE + "_count", *matchers, by=by),
    )


def section(*matchers: str) -> Section:
    """All of it."""
    return Section(
        "How sure, how far from the baseline",
        [
            Shelf(
                10, [(8, _spread(*matchers)), (6, _guesses(*matchers)), (10, _labels(*matchers))]
            ),
            Shelf(8, [(12, _drift(*matchers)), (6, _samples(*matchers)), (6, _pixels(*matchers))]),
        ],
    )


def _spread(*matchers: str) -> dash.Panel:
    about = About(
        "How sure",
        "The distribution of the probability of the most likely label.",
        "the same distribution as last week.",
        "cells that move down: other images, or another model (a blue mark).",
    )
    # No probability is above 1, and the surest predictions are in the last bucket alone.
    expr = f'label_replace({buckets(CONFIDENCE, *matchers)}, "le", "1", "le", "[+]Inf")'
    return heat(about, "percentunit", expr)


def _guesses(*matchers: str) -> dash.Panel:
    about = About(
        "Unsure, by model",
        f"Share of a model's predictions below a probability of {limits.LOW_CONFIDENCE}.",
        "below the dashed line.",
        "view some of these images and run `python -m project predict` on them: LowConfidence.",
    )
    steps = limits.steps("transparent", (limits.LOW_CONFIDENCE_SHARE, limits.RED))
    display = Display("percentunit", None, 0, 1, steps=steps)
    how = Lines(limited=True)
    return graph(about, display, [Query(_low(*matchers, by=("model",)), "{{model}}")], how)


def _labels(*matchers: str) -> dash.Panel:
    about = About(
        "Ten most frequent labels",
        "The most frequent predictions in this window.",
        "as many different labels as your clients' images have.",
        f"one label above {limits.ONE_LABEL_SHARE:.0%} of all is PredictionsCollapsed: the same "
        "image again and again, or a broken model.",
    )
    counts = gained("inference_predictions_total", *matchers, by=("model", "label"))
    display = Display("short", 0, nothing="no predictions")
    return bars(about, display, Query(f"topk(10, {counts} > 0)", "{{label}} ({{model}})"))


def _drift(*matchers: str) -> dash.Panel:
    about = About(
        "Distance from the baseline",
        "Population stability index of each feature against the model's committed baseline: below "
        f"{limits.DRIFT_WATCH} no change, above {limits.DRIFT} drift.",
        "below the lower dashed line.",
        "brightness, contrast, pixels: the images changed. label, confidence alone: the model "
        "did. `python -m project drift baseline FOLDER` builds a new baseline. InputDrift.",
    )
    display = Display("short", 2, nothing=NO_BASELINE, steps=DRIFT)
    how = Lines(colours=FEATURES, limited=True, soft=limits.DRIFT * 1.2, values=("lastNotNull",))
    return graph(about, display, [Query(_distance(*matchers), "{{model}} {{feature}}")], how)


def _samples(*matchers: str) -> dash.Panel:
    about = About(
        "Samples in the window of drift",
        "The number of predictions in the window of the distance.",
        f"above {limits.DRIFT_SAMPLES}.",
        "with fewer the index is chance, and the alert waits.",
    )
    query = aggregate("max", metric("drift_window_samples", *matchers), "model")
    steps = limits.steps("transparent", (limits.DRIFT_SAMPLES, limits.GREEN))
    display = Display("short", 0, nothing=NO_BASELINE, steps=steps)
    how = Lines(limited=True)
    return graph(about, display, [Query(query, "{{model}}")], how)


def _pixels(*matchers: str) -> dash.Panel:
    about = About(
        "Size of pictures",
        "Median and 95th percentile of the pixels of an image, as sent.",
        "level.",
        "a jump takes time in decoding: check the stages.",
    )
    queries = [
        Query(quantile(q, "inference_input_pixels", *matchers), f"p{q * 100:g}")
        for q in (0.5, 0.95)
    ]
    return graph(
        about, Display("short", 1), queries, Lines(colours={"p50": "green", "p95": "orange"})
    )
