"""Refusals of callers, each counted by its reason."""

from project.errors import Unauthorized
from project.observability.metrics import AUTH_REFUSALS


def refused(reason: str, detail: str) -> Unauthorized:
    """The error for credentials that are not accepted; it is counted. reason: of the metric."""
    AUTH_REFUSALS.labels(reason).inc()
    return Unauthorized(detail, invalid=reason != "missing")
