"""Accounts of a stack: its settings, its administrator, and an API key for its clients."""

import httpx2

from drills.waiting import DEADLINE

EMAIL, PASSWORD = "root@example.org", "the password of this stack"
UNLIMITED = 900_000_000
SETTINGS: dict[str, object] = {
    "AUTH": "keys",
    "TOKEN_KEYS": f"stack:{'0123456789abcdef' * 2}",
    "ADMIN_EMAIL": EMAIL,
    "ADMIN_PASSWORD": PASSWORD,
    "MONTHLY_QUOTA": UNLIMITED,
    "CALLER_RATE": f"{UNLIMITED}/minute",
    "ADDRESS_RATE": f"{UNLIMITED}/minute",  # every client comes from one address
    "USER_JOBS": UNLIMITED,  # and is one user
}


def sign_in(url: str, login: str = EMAIL, password: str = PASSWORD) -> dict[str, str]:
    """The header of a user that is signed in. url: of the API, without a slash at its end."""
    form = {"username": login, "password": password}
    answer = httpx2.post(f"{url}/v1/tokens", data=form, timeout=DEADLINE).raise_for_status()
    return bearer(answer.json()["access_token"])


def create_key(url: str) -> str:
    """The text of a new key of the administrator, with all scopes that clients need."""
    body = {"name": "clients", "scopes": ["predict", "jobs"], "password": PASSWORD}
    headers = sign_in(url)
    answer = httpx2.post(
        f"{url}/v1/users/me/keys", json=body, headers=headers, timeout=DEADLINE
    ).raise_for_status()
    return str(answer.json()["key"])


def bearer(token: str) -> dict[str, str]:
    """The header that carries a key or a token."""
    return {"Authorization": f"Bearer {token}"}
