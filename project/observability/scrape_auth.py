"""Authorization of scrapes: METRICS_TOKEN, in one of the two ways that scrapers can send it.

As a bearer token, or as the password of HTTP Basic for any user: agents read that from a file.
"""

import base64
import secrets

from pydantic import SecretStr


def may_scrape(authorization: str, token: SecretStr) -> bool:
    """Return whether the value of the header carries the token."""
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return equals_token(credentials.encode(), token)
    if scheme.lower() == "basic":
        return equals_token(_password(credentials), token)
    return False


def equals_token(candidate: bytes, token: SecretStr) -> bool:
    """Compare in a time that reveals nothing of the token."""
    return secrets.compare_digest(candidate, token.get_secret_value().encode())


def _password(credentials: str) -> bytes:
    """Return the password of Basic credentials (RFC 7617); empty where they are malformed."""
    try:
        decoded = base64.b64decode(credentials, validate=True)
    except ValueError:
        return b""
    return decoded.partition(b":")[2]
