"""Who may read the metrics: whoever shows METRICS_TOKEN, in one of the two ways of scrapers.

As a bearer token, or as the password of HTTP Basic for any user: agents read that from a file.
"""

import base64
import secrets

from pydantic import SecretStr


def may_scrape(authorization: str, token: SecretStr) -> bool:
    """Whether the header's value carries the token."""
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return is_token(given.encode(), token)
    if scheme.lower() == "basic":
        return is_token(_password(given), token)
    return False


def is_token(given: bytes, token: SecretStr) -> bool:
    """Compare in a time that tells nothing of the token."""
    return secrets.compare_digest(given, token.get_secret_value().encode())


def _password(credentials: str) -> bytes:
    """What stands behind the user's name (RFC 7617); nothing where these are no credentials."""
    try:
        decoded = base64.b64decode(credentials, validate=True)
    except ValueError:
        return b""
    return decoded.partition(b":")[2]
