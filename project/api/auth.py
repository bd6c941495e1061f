"""Routes for operators alone: a bearer token from the settings."""

from pydantic import SecretStr
from starlette.requests import Request

from project.errors import Unauthorized
from project.observability.access import is_token, may_scrape


def demand(request: Request, token: SecretStr, setting: str) -> None:
    """Raise Unauthorized unless the request carries the token. setting: its name, for advice.

    A browser sends a password that it once learnt with every request, whatever page makes it: what
    changes anything takes none.
    """
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not is_token(given.encode(), token):
        raise Unauthorized(f"send the header `Authorization: Bearer` with {setting}")


def demand_to_scrape(request: Request, token: SecretStr) -> None:
    """Raise Unauthorized unless the request carries METRICS_TOKEN, in one of two ways."""
    if not may_scrape(request.headers.get("authorization", ""), token):
        raise Unauthorized(
            "send METRICS_TOKEN as `Authorization: Bearer`, or as the password of HTTP Basic"
        )
