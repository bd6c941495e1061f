"""Routes for operators alone: a bearer token from the settings."""

import secrets

from pydantic import SecretStr
from starlette.requests import Request

from project.errors import Unauthorized


def demand(request: Request, token: SecretStr, setting: str) -> None:
    """Raise Unauthorized unless the request carries the token. setting: its name, for advice."""
    given = request.headers.get("authorization", "")
    expected = f"Bearer {token.get_secret_value()}"
    if not secrets.compare_digest(given.encode(), expected.encode()):
        raise Unauthorized(f"send the header `Authorization: Bearer` with {setting}")
