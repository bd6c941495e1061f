"""The HTTP/1.1 bytes of a rejection under overload, rendered without the application.

The document is the one that api/problems.py builds for every error; what is alike in all
rejections is rendered once, and the ids of each request are put in.
"""

from functools import lru_cache

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from project.api.cors import cors_headers
from project.api.problems import Ids, problem_of
from project.errors import Overloaded
from project.observability.context import accept_request_id, trace_id_for

Headers = list[tuple[bytes, bytes]]  # names in lower case
_REQUEST_ID, _TRACE_ID = "{request_id}", "{trace_id}"


def render(
    overload: Overloaded,
    headers: Headers,
    own_headers: Headers,
    cors_origins: tuple[str, ...] = (),
) -> bytes:
    """Render the response.

    headers: of the request; own_headers: added to the response. cors_origins: those whose pages may
    read it.
    """
    request_id, trace_id = _ids(headers)
    if cors_origins:
        origin = next((value for name, value in headers if name == b"origin"), None)
        own_headers = [*own_headers, *cors_headers(origin, cors_origins)]
    lines = b"".join(b"%s: %s\r\n" % header for header in own_headers)
    head, start, middle, end = _template(overload.detail, overload.retry_after)
    body = b"".join((start, request_id, middle, trace_id, end))
    return b"%s%s%sx-request-id: %s\r\ncontent-length: %d\r\n\r\n%s" % (
        STATUS_LINE[Overloaded.status],
        lines,
        head,
        request_id,
        len(body),
        body,
    )


def _ids(headers: Headers) -> tuple[bytes, bytes]:
    """Return the request id and the trace id, the client's where they are valid."""
    request_id = traceparent = None
    for name, value in reversed(headers):  # of several, the first counts
        if name == b"x-request-id":
            request_id = value.decode("latin-1")
        elif name == b"traceparent":
            traceparent = value.decode("latin-1")
    return accept_request_id(request_id).encode(), b"%032x" % trace_id_for(traceparent)


@lru_cache
def _template(detail: str, retry_after: int) -> tuple[bytes, bytes, bytes, bytes]:
    """Return the header lines, and the document in three parts, between which the ids go."""
    overload = Overloaded(detail, retry_after=retry_after)
    response = problem_of(overload, Ids(_REQUEST_ID, _TRACE_ID))
    lines = b"".join(
        b"%s: %s\r\n" % (name, value)
        for name, value in response.raw_headers
        if name != b"content-length"
    )
    start, _, rest = bytes(response.body).rpartition(_REQUEST_ID.encode())
    middle, _, end = rest.partition(_TRACE_ID.encode())
    return lines, start, middle, end
