"""The shipped rules, scrapes and routes in accelerated time: every duration divided by a factor.

A pure transformation of parsed YAML, so there is no second copy of the files. Durations are the
ranges, subqueries and offsets of PromQL, also of queries within annotations, and the values of
`DURATIONS`. Everything else is unchanged. In particular, a threshold in seconds is a number like
any other: `jobs_oldest_message_age_seconds > 300` still means 300 real seconds, `le="60.0"` still
60, and time-outs of the program itself do not scale, nor does a model's `slo_seconds`. Recorded
series keep their names: a scaled slo:sli_errors:rate5m is a rate over less.
"""

import re
from collections.abc import Mapping
from typing import Any

MILLISECONDS = {
    "y": 31_536_000_000,
    "w": 604_800_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1_000,
    "ms": 1,
}
DURATIONS = {
    *("interval", "query_offset", "for", "keep_firing_for"),  # of rules
    *("scrape_interval", "scrape_timeout", "evaluation_interval", "timeout"),  # of Prometheus
    *("group_wait", "group_interval", "repeat_interval", "resolve_timeout"),  # of Alertmanager
}
LABELS = {"labels", "external_labels", "matchers"}  # their names and values are not durations

_PART = re.compile(r"(\d+)(ms|[smhdwy])")
_DURATION = r"(?:\d+(?:ms|[smhdwy]))+"
_GAP = r"(?:\s|\#[^\n]*\n)*"  # white space and comments of PromQL
# Tokens that may contain what looks like a duration; longest first, so none starts inside another.
_TOKEN = re.compile(
    rf"""
      (?P<verbatim> "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' | `[^`]*` | \#[^\n]* )
    | (?P<range>    \[ (?:[^\]\#]|\#[^\n]*\n)* \] )
    | (?P<offset>   \b(?i:offset)\b {_GAP} -? {_GAP} {_DURATION} )
    | (?P<word>     [A-Za-z_:][A-Za-z0-9_:]* | \d[A-Za-z0-9_.]* )
    """,
    re.VERBOSE | re.DOTALL,
)
_WITHIN = re.compile(rf"\#[^\n]*|{_DURATION}")
_QUERY = re.compile(r'(\bquery\s+)("(?:\\.|[^"\\])*"|`[^`]*`)')  # in a template of an annotation


def duration(text: str, factor: float) -> str:
    """A duration in Prometheus's notation, such as 1h30m, divided.

    Rounded to milliseconds, but at least 1 ms unless it is 0. Raises ValueError.
    """
    parts = _PART.findall(text)
    if text != "0" and (not parts or "".join(map("".join, parts)) != text):
        raise ValueError(f"{text!r} is no duration")
    whole = sum(int(number) * MILLISECONDS[unit] for number, unit in parts)
    return _written(max(1, round(whole / factor)) if whole else 0)


def _written(milliseconds: int) -> str:
    """In the largest unit that divides it."""
    if milliseconds == 0:
        return "0s"
    number, unit = next(
        (milliseconds // size, unit)
        for unit, size in MILLISECONDS.items()
        if milliseconds % size == 0
    )
    return f"{number}{unit}"


def promql(expr: str, factor: float) -> str:
    """An expression with every range, subquery and offset divided."""

    def within(match: re.Match[str]) -> str:
        text = match.group()
        return text if text.startswith("#") else duration(text, factor)

    def token(match: re.Match[str]) -> str:
        timed = match.lastgroup in {"range", "offset"}
        return _WITHIN.sub(within, match.group()) if timed else match.group()

    return _TOKEN.sub(token, expr)


def scaled(document: Any, factor: float) -> Any:
    """A parsed document, or a part of one: rules, prometheus.yml or alertmanager.yml."""
    if isinstance(document, list):
        return [scaled(item, factor) for item in document]
    if isinstance(document, Mapping):
        return {key: _value(key, value, factor) for key, value in document.items()}
    return document


def _value(key: str, value: Any, factor: float) -> Any:
    if key in LABELS:
        return value
    if key == "annotations":
        return {name: _template(text, factor) for name, text in value.items()}
    if key == "expr":
        return promql(str(value), factor)
    if key in DURATIONS and isinstance(value, str):
        return duration(value, factor)
    return scaled(value, factor)


def _template(text: str, factor: float) -> str:
    """An annotation, whose templates may contain queries."""

    def query(match: re.Match[str]) -> str:
        name, quoted = match.groups()
        return f"{name}{quoted[0]}{promql(quoted[1:-1], factor)}{quoted[0]}"

    return _QUERY.sub(query, text)
