"""Sentry: one logged error is one event, with trace id, release and route, and no variables.

Events come from the log alone: what is logged as ERROR becomes one, through the handlers of
Sentry's Loguru integration. The integrations of the web framework would report each error again.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import sentry_sdk
from loguru import logger
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.integrations.loguru import LoguruBreadcrumbHandler, LoguruEventHandler
from sentry_sdk.transport import HttpTransport

from project import __version__
from project.observability.context import REQUEST_ID, current_trace
from project.observability.metrics import TELEMETRY_DROPPED
from project.settings import Settings

if TYPE_CHECKING:
    from loguru import Record
    from sentry_sdk.types import Event, Hint

FLUSH_SECONDS = 2.0
INTENDED = {"before_send", "event_processor", "sample_rate"}  # reasons of drops that are no loss


class CountingTransport(HttpTransport):
    """Counts the events that could not be delivered."""

    def record_lost_event(
        self, reason: str, data_category: Any = None, item: Any = None, *, quantity: int = 1
    ) -> None:
        """Count a lost error report, then record it as the transport does."""
        category = data_category if item is None else item.data_category
        if category == "error" and reason not in INTENDED:
            TELEMETRY_DROPPED.labels("errors").inc()
        super().record_lost_event(reason, data_category, item, quantity=quantity)

    def on_dropped_event(self, reason: str) -> None:
        """Count what Sentry itself rejected; the SDK does not record that as lost."""
        if reason == "status_429":
            TELEMETRY_DROPPED.labels("errors").inc()


def configure_sentry(settings: Settings) -> None:
    """Start Sentry where SENTRY_DSN is set; call it after configure_logging and the fork."""
    if settings.sentry_dsn is None:
        return
    sentry_sdk.init(
        dsn=settings.sentry_dsn.get_secret_value(),
        environment=settings.environment,
        release=f"vitrine@{__version__}+{settings.revision}",
        transport=CountingTransport,
        auto_enabling_integrations=False,
        disabled_integrations=[LoggingIntegration()],
        include_local_variables=False,
        before_send=_before_send(settings.secret_values()),
    )
    # The integration itself would do this only once in a process.
    logger.add(LoguruBreadcrumbHandler(level="INFO"), level="INFO", format=_message)
    logger.add(LoguruEventHandler(level="ERROR"), level="ERROR", format=_message)


@contextmanager
def request_scope(route: Callable[[], str]) -> Iterator[None]:
    """Isolate the events of a request from those of others.

    route: returns method and template, such as `POST /v1/things`, once a route has matched.
    """
    if not sentry_sdk.is_initialized():
        yield
        return

    def name(event: "Event", _hint: "Hint") -> "Event":
        event["transaction"] = route()
        event["transaction_info"] = {"source": "route"}
        return event

    with sentry_sdk.isolation_scope() as scope:
        scope.add_event_processor(name)
        yield


def close() -> None:
    """Send what is captured, and end; call it before the process ends."""
    sentry_sdk.get_client().close(timeout=FLUSH_SECONDS)
    sentry_sdk.get_global_scope().set_client(None)


def _message(_record: "Record") -> str:
    """Render the event's name alone: Loguru itself would append variables to the traceback."""
    return "{message}"


def _before_send(secrets: Sequence[str]) -> Callable[["Event", "Hint"], "Event"]:
    """Return the last processor of an event: it adds our ids and masks the secrets."""

    def finish(event: "Event", _hint: "Hint") -> "Event":
        trace_id, span_id = current_trace()
        if trace_id:
            event.setdefault("contexts", {})["trace"] = {"trace_id": trace_id, "span_id": span_id}
        event.setdefault("tags", {})["request_id"] = REQUEST_ID.get() or ""
        return cast("Event", _mask(event, secrets))

    return finish


def _mask(value: Any, secrets: Sequence[str]) -> Any:
    """Return the value with `***` in place of each secret, at any depth."""
    if isinstance(value, dict):
        return {key: _mask(item, secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [_mask(item, secrets) for item in value]
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, "***")
    return value
