"""Authorization: routes that demand a token from the settings."""

from pydantic import SecretStr
from starlette.requests import Request

from project.errors import Unauthorized
from project.observability.scrape_auth import equals_token, may_scrape


def require_bearer(request: Request, token: SecretStr, setting: str) -> None:
    """Raise Unauthorized unless the request carries the token as a bearer token.

    setting: the name of the token's setting, for the error's detail. HTTP Basic is not accepted:
    a browser adds stored credentials to each request, whichever page makes it, and these routes
    change something.
    """
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not equals_token(credentials.encode(), token):
        raise Unauthorized(f"send the header `Authorization: Bearer` with {setting}")


def require_scrape_token(request: Request, token: SecretStr) -> None:
    """Raise Unauthorized unless the request carries METRICS_TOKEN, in one of two ways."""
    if not may_scrape(request.headers.get("authorization", ""), token):
        raise Unauthorized(
            "send METRICS_TOKEN as `Authorization: Bearer`, or as the password of HTTP Basic"
        )
