"""Sentry: one logged error is one event, with trace id, release and route, and no variables.

The way in is the log alone: what is logged as ERROR with an exception becomes an event, through
Sentry's Loguru integration. The web framework's integrations would report the same error again.
"""

import logging
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import sentry_sdk
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.integrations.loguru import LoguruIntegration
from sentry_sdk.transport import HttpTransport

from project import __version__
from project.observability.context import REQUEST_ID, current_trace
from project.observability.metrics import TELEMETRY_DROPPED
from project.settings import Settings

if TYPE_CHECKING:
    from loguru import Record
    from sentry_sdk.types import Event, Hint

FLUSH_SECONDS = 5.0


class CountingTransport(HttpTransport):
    """Counts the events that could not be delivered."""

    def record_lost_event(self, reason: str, *args: Any, **kwargs: Any) -> None:
        """Count, then do what the transport does; `before_send` drops are ours, not losses."""
        if reason != "before_send":
            TELEMETRY_DROPPED.labels("errors").inc()
        super().record_lost_event(reason, *args, **kwargs)


def configure_sentry(settings: Settings) -> None:
    """Start Sentry where SENTRY_DSN is set; call after configure_logging and after the fork."""
    if settings.sentry_dsn is None:
        return
    sentry_sdk.init(
        dsn=settings.sentry_dsn.get_secret_value(),
        environment=settings.environment,
        release=f"vitrine@{__version__}+{settings.revision}",
        transport=CountingTransport,
        auto_enabling_integrations=False,
        disabled_integrations=[LoggingIntegration()],
        integrations=[
            LoguruIntegration(
                event_level=logging.ERROR, event_format=_message, breadcrumb_format=_message
            )
        ],
        include_local_variables=False,
        send_default_pii=False,
        before_send=_before_send,
    )


def request_scope() -> AbstractContextManager[object]:
    """A scope of its own for a request, so that what is said of one clings to no other."""
    return sentry_sdk.isolation_scope() if sentry_sdk.is_initialized() else nullcontext()


def name_route(method: str, handler: str) -> None:
    """Say which route the current request matched."""
    if sentry_sdk.is_initialized():
        sentry_sdk.get_isolation_scope().set_transaction_name(f"{method} {handler}", "route")


def flush() -> None:
    """Wait for what was captured to leave; call before the process ends."""
    sentry_sdk.flush(timeout=FLUSH_SECONDS)


def _message(_record: "Record") -> str:
    """The event's name alone: Loguru's own rendering would append variables to the traceback."""
    return "{message}"


def _before_send(event: "Event", _hint: "Hint") -> "Event":
    """Put our ids where Sentry looks for them."""
    trace_id, span_id = current_trace()
    if trace_id:
        event.setdefault("contexts", {})["trace"] = {"trace_id": trace_id, "span_id": span_id}
    event.setdefault("tags", {})["request_id"] = REQUEST_ID.get() or ""
    return event
