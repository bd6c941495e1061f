"""What the log, the traces and the error reports say of a job while it runs.

The request that asked for the job has left its ids in the job's row: the same request id and the
same trace stand on every line that a worker logs for it.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from loguru import logger
from opentelemetry.sdk.trace import TracerProvider

from project.observability import sentry
from project.observability.context import REQUEST_ID, caller_of, traced


@contextmanager
def job_scope(
    provider: TracerProvider | None,
    *,
    job_id: str,
    model: str,
    attempt: int,
    request_id: str | None,
    traceparent: str | None,
) -> Iterator[None]:
    """One run of one job. provider: where its span goes; None: to nobody."""
    token = REQUEST_ID.set(request_id)
    with ExitStack() as stack:
        stack.callback(REQUEST_ID.reset, token)
        stack.enter_context(sentry.request_scope(lambda: f"job {model}"))
        if provider:
            tracer = provider.get_tracer("vitrine")
            span = tracer.start_as_current_span(
                f"job {model}",
                context=caller_of(traceparent),
                attributes={"job.id": job_id, "job.attempt": attempt},
            )
            stack.enter_context(span)
        else:
            stack.enter_context(traced(traceparent))
        stack.enter_context(logger.contextualize(job_id=job_id, model=model, attempt=attempt))
        yield
