"""What a panel may show: bounds for each unit, from what the stack is and what it was sent."""

import math
import time

import psutil

from drills.prometheus import Sample
from drills.stack import FACTOR
from drills.traffic import MAX_BYTES, Traffic
from tests.ops.panels import Target

# Budgets that are spent more than once are below nothing.
UNBOUNDED_BELOW = {"Error budget left, 30 days", "Error budget left over time"}
LONGEST_SECONDS = 600.0  # JOB_SECONDS, drawn as a limit
RATE_MINUTES = 20  # what $__rate_interval is to be, by the shipped windows: all actions fall in it
AGE_SECONDS = 600.0  # of the stack, at most
ODD = 1.2  # what rate() makes up at both ends of a window, at most


def bounds(target: Target, traffic: Traffic) -> tuple[float, float]:
    """The least and the most that a query of a panel may give."""
    memory = float(psutil.virtual_memory().total)
    rate = ODD * (traffic.count() + 1) / (60 * RATE_MINUTES / FACTOR)
    least, most = {
        "percentunit": (0.0, 1.0),
        "s": (0.0, LONGEST_SECONDS),
        "ms": (0.0, LONGEST_SECONDS * 1000),
        "bytes": (1.0, memory),
        "decbytes": (1.0, 10.0 * MAX_BYTES),
        "reqps": (0.0, rate),
        "ops": (0.0, 10_000.0),
        "short": (0.0, 1e9),
        "dateTimeFromNow": (1000 * (time.time() - AGE_SECONDS), 1000 * time.time()),
    }[unit_of(target)]
    if target.panel.model["title"] in UNBOUNDED_BELOW:
        least = -math.inf
    if "redis_memory_max_bytes" in target.model["expr"]:
        least = 0.0  # which is how Valkey says that there is no limit
    return least, most


def unit_of(target: Target) -> str:
    """The unit of a query's values: that of their column in a table, else the panel's."""
    model = target.panel.model
    column = column_of(target)
    for override in model["fieldConfig"]["overrides"]:
        if override["matcher"] == {"id": "byName", "options": column}:
            for setting in override["properties"]:
                if setting["id"] == "unit":
                    return str(setting["value"])
    return str(model["fieldConfig"]["defaults"]["unit"])


def column_of(target: Target) -> str | None:
    """The name of a query's column in a table; Grafana's own name for it tells which."""
    model = target.panel.model
    value = "Value" if len(model["targets"]) == 1 else f"Value #{target.model['refId']}"
    for step in model.get("transformations") or []:
        if step["id"] == "organize":
            return str(step["options"]["renameByName"][value])
    return None


def nonsense(target: Target, samples: list[Sample], traffic: Traffic) -> list[str]:
    """What is wrong with an answer, in words; nothing where it makes sense.

    NaN is how a quantile says that nothing happened: a graph has a gap then, but a number that a
    person reads has to be one, and some series have to be known.
    """
    known = [sample for sample in samples if sample.known]
    if not known:
        return ["nothing is known" if samples else "empty"]
    single = target.panel.model["type"] in {"stat", "bargauge", "table", "state-timeline"}
    found = [f"NaN: {it.labels}" for it in samples if single and not it.known]
    least, most = bounds(target, traffic)
    wrong = [it for it in known if not least <= it.value <= most]
    return found + [f"{it.value:g} is not in [{least:g}, {most:g}]: {it.labels}" for it in wrong]
