"""One drill: a fault in a stack under traffic, the page that it leads to, and its resolution."""

import time
from dataclasses import dataclass

from drills.faults import Fault
from drills.monitoring import WEBHOOK
from drills.receiver import Notice
from drills.stack import Stack

PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class Drilled:
    """What came of it.

    page_seconds: from the fault to the page. resolved_seconds: from when it began to be mended to
    the resolution.
    """

    fault: Fault
    page: Notice
    resolution: Notice
    page_seconds: float
    resolved_seconds: float


def drill(stack: Stack, fault: Fault) -> Drilled:
    """Put the fault in, await the page, take the fault out, await the resolution.

    Something must ask the API and send jobs meanwhile. Raises TimeoutError.
    """
    began = time.monotonic()
    with fault.inject(stack):
        page = _arrival(stack, fault, "firing", began)
        mended = time.monotonic()
    resolution = _arrival(stack, fault, "resolved", mended)
    return Drilled(fault, page, resolution, page.at - began, resolution.at - mended)


def _arrival(stack: Stack, fault: Fault, status: str, after: float) -> Notice:
    return stack.receiver.await_alert(
        fault.alert, status, path=WEBHOOK, after=after, deadline=PATIENCE_SECONDS, **fault.labels
    )
