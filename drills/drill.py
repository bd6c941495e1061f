"""One drill: a fault in a stack under traffic, the page it causes, and its resolution."""

import time
from dataclasses import dataclass

from drills.faults import Fault
from drills.monitoring import WEBHOOK
from drills.receiver import ReceivedAlert
from drills.stack import Stack

ALERT_SECONDS = 120.0


@dataclass(frozen=True)
class DrillResult:
    """The result. page_seconds: since the fault; resolved_seconds: since the repair."""

    fault: Fault
    page: ReceivedAlert
    resolution: ReceivedAlert
    page_seconds: float
    resolved_seconds: float


def drill(stack: Stack, fault: Fault) -> DrillResult:
    """Inject the fault, await the page, repair it, await the resolution.

    The stack must be under traffic meanwhile. Raises TimeoutError.
    """
    began = time.monotonic()
    with fault.inject(stack):
        page = _arrival(stack, fault, "firing", began)
        repaired = time.monotonic()
    resolution = _arrival(stack, fault, "resolved", repaired)
    return DrillResult(fault, page, resolution, page.at - began, resolution.at - repaired)


def _arrival(stack: Stack, fault: Fault, status: str, after: float) -> ReceivedAlert:
    return stack.receiver.await_alert(
        fault.alert, status, path=WEBHOOK, after=after, deadline=ALERT_SECONDS, **fault.labels
    )
