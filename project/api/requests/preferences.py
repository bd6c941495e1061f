"""What a client prefers: the media type of the answer (Accept), and a job instead of waiting."""

from collections.abc import Sequence

from starlette.requests import Request

from project.errors import NotAcceptable

RESPOND_ASYNC = "respond-async"  # RFC 7240, section 4.1


def preferred_type(request: Request, offered: Sequence[str]) -> str:
    """The offered media type that a request prefers (RFC 9110, section 12.5.1).

    offered: the usual one first, which is taken where nothing else is preferred. Raises
    NotAcceptable where the request takes none of them.
    """
    headers = request.headers.getlist("accept")
    if not headers:
        return offered[0]
    ranges = dict(filter(None, map(_range, ",".join(headers).split(","))))
    if not ranges:
        return offered[0]
    best = max(offered, key=lambda media_type: _quality(media_type, ranges))
    if _quality(best, ranges) <= 0:
        raise NotAcceptable(f"ask for {' or '.join(offered)} in Accept; nothing else is here")
    return best


def prefers_job(request: Request) -> bool:
    """Whether a request asks for a job instead of a prediction (Prefer: respond-async)."""
    return is_respond_async(",".join(request.headers.getlist("prefer")))


def is_respond_async(prefer: str) -> bool:
    """Whether a Prefer header asks for a job."""
    preferences = (item.split(";")[0].strip().lower() for item in prefer.split(","))
    return RESPOND_ASYNC in preferences


def _range(text: str) -> tuple[str, float] | None:
    """A media range and its quality value; None for one that cannot be read."""
    media_range, *parameters = (part.strip().lower() for part in text.split(";"))
    if "/" not in media_range:
        return None
    quality = next((item[2:] for item in parameters if item.startswith("q=")), "1")
    try:
        return media_range, min(1.0, max(0.0, float(quality)))
    except ValueError:
        return None


def _quality(media_type: str, ranges: dict[str, float]) -> float:
    """The quality value of a media type: that of the most specific range which names it."""
    kind = media_type.partition("/")[0]
    found = (ranges[one] for one in (media_type, f"{kind}/*", "*/*") if one in ranges)
    return next(found, 0.0)
