"""Sentry: one logged error is one event, with trace id, release and route, and no variables.

The way in is the log alone: what is logged as ERROR becomes an event, through the handlers of
Sentry's Loguru integration. The web framework's integrations would report the same error again.
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
UNWANTED = {"before_send", "event_processor", "sample_rate"}  # dropped on purpose: no loss


class CountingTransport(HttpTransport):
    """Counts the events that could not be delivered."""

    def record_lost_event(
        self, reason: str, data_category: Any = None, item: Any = None, *, quantity: int = 1
    ) -> None:
        """Count an error report that is lost, then do what the transport does."""
        category = data_category if item is None else item.data_category
        if category == "error" and reason not in UNWANTED:
            TELEMETRY_DROPPED.labels("errors").inc()
        super().record_lost_event(reason, data_category, item, quantity=quantity)

    def on_dropped_event(self, reason: str) -> None:
        """Count what Sentry itself turned away; the SDK does not record that as lost."""
        if reason == "status_429":
            TELEMETRY_DROPPED.labels("errors").inc()


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
        include_local_variables=False,
        before_send=_finisher(settings.secret_values()),
    )
    # The integration itself would do this at the first start of a process alone.
    logger.add(LoguruBreadcrumbHandler(level="INFO"), level="INFO", format=_message)
    logger.add(LoguruEventHandler(level="ERROR"), level="ERROR", format=_message)


@contextmanager
def request_scope(route: Callable[[], str]) -> Iterator[None]:
    """A scope of its own for a request, so that what is said of one clings to no other.

    route: tells method and template, such as `POST /v1/things`, once a route has matched.
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
    """Wait for what was captured to leave, and end; call before the process does."""
    sentry_sdk.get_client().close(timeout=FLUSH_SECONDS)
    sentry_sdk.get_global_scope().set_client(None)


def _message(_record: "Record") -> str:
    """The event's name alone: Loguru's own rendering would append variables to the traceback."""
    return "{message}"


def _finisher(secrets: Sequence[str]) -> Callable[["Event", "Hint"], "Event"]:
    """What an event passes at the last: our ids where Sentry looks for them, secrets masked."""

    def finish(event: "Event", _hint: "Hint") -> "Event":
        trace_id, span_id = current_trace()
        if trace_id:
            event.setdefault("contexts", {})["trace"] = {"trace_id": trace_id, "span_id": span_id}
        event.setdefault("tags", {})["request_id"] = REQUEST_ID.get() or ""
        return cast("Event", _mask(event, secrets))

    return finish


def _mask(value: Any, secrets: Sequence[str]) -> Any:
    """The same with `***` in the place of each secret, however deep it stands."""
    if isinstance(value, dict):
        return {key: _mask(item, secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [_mask(item, secrets) for item in value]
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, "***")
    return value
