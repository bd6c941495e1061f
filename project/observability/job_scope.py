"""The scope of one attempt of a job in the log, the traces and the error reports.

The job's row has the ids of the request that submitted it: every line that a worker logs for the
job carries the same request id and the same trace id.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from loguru import logger
from opentelemetry.sdk.trace import TracerProvider

from project.observability import sentry
from project.observability.context import REQUEST_ID, remote_context, traced


@contextmanager
def job_scope(
    provider: TracerProvider | None,
    *,
    job_id: str,
    model: str,
    attempt: int,
    request_id: str | None,
    traceparent: str | None,
    user_id: str | None,
) -> Iterator[None]:
    """Name the job and its request in all that the body reports.

    provider: of the tracer for the span of this run; None: no span is recorded. user_id: whose job
    it is; None: nobody's.
    """
    token = REQUEST_ID.set(request_id)
    with ExitStack() as stack:
        stack.callback(REQUEST_ID.reset, token)
        stack.enter_context(sentry.request_scope(lambda: f"job {model}"))
        if provider:
            tracer = provider.get_tracer("vitrine")
            span = tracer.start_as_current_span(
                f"job {model}",
                context=remote_context(traceparent),
                attributes={"job.id": job_id, "job.attempt": attempt},
            )
            stack.enter_context(span)
        else:
            stack.enter_context(traced(traceparent))
        stack.enter_context(
            logger.contextualize(job_id=job_id, model=model, attempt=attempt, user_id=user_id)
        )
        yield
