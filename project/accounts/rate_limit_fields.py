"""The header fields RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10).

They stand alone, because the quota and the rates both answer with them, and refuse with them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

MONTH, RATE = "month", "rate"  # names of the policies


@dataclass(frozen=True, slots=True)
class LimitState:
    """A limit, and what a caller has left of it.

    name: of its policy. limit: requests in a window of so many seconds. reset_after: seconds, after
    which more is available.
    """

    name: str
    limit: int
    window: int
    remaining: int
    reset_after: int


def rate_limit_fields(states: Sequence[LimitState]) -> dict[str, str]:
    """Both fields, as structured lists (RFC 9651)."""
    policies = ", ".join(f'"{it.name}";q={it.limit};w={it.window}' for it in states)
    left = ", ".join(f'"{it.name}";r={it.remaining};t={it.reset_after}' for it in states)
    return {"RateLimit-Policy": policies, "RateLimit": left}
