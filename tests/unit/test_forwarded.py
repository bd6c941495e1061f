"""The client's address with FORWARDED_ALLOW_IPS=*, which no client can choose."""

from typing import Any

import pytest

from project.server.forwarded import ForwardedHops

pytestmark = pytest.mark.anyio
PEER = ("169.254.1.1", 4711)


async def served(hops: int, *lines: str, kind: str = "http") -> dict[str, Any]:
    """The scope that the application gets, for a request with these lines of X-Forwarded-For."""
    found: dict[str, Any] = {}

    async def app(scope, receive, send) -> None:
        found.update(scope)

    headers = [(b"host", b"x"), (b"x-forwarded-proto", b"https")]
    headers += [(b"x-forwarded-for", line.encode()) for line in lines]
    scope = {"type": kind, "scheme": "http", "client": PEER, "headers": headers}
    await ForwardedHops(app, hops)(scope, None, None)
    return found


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    ("hops", "lines", "client"),
    [
        (1, ["9.9.9.9"], "9.9.9.9"),
        (1, ["6.6.6.6, 9.9.9.9"], "9.9.9.9"),
        (1, ["6.6.6.6", "9.9.9.9"], "9.9.9.9"),
        (1, ["6.6.6.6,7.7.7.7 , 9.9.9.9 "], "9.9.9.9"),
        (2, ["6.6.6.6, 9.9.9.9, 10.0.0.1"], "9.9.9.9"),
        (2, ["6.6.6.6, 9.9.9.9", "10.0.0.1"], "9.9.9.9"),
        (2, ["9.9.9.9"], "9.9.9.9"),
        (1, ["6.6.6.6, 9.9.9.9:1234"], "9.9.9.9"),
        (1, ["6.6.6.6, [2001:db8::1]:443"], "2001:db8::1"),
    ],
)
async def test_what_a_client_puts_in_front_changes_nothing(kind, hops, lines, client):
    """Each proxy appends; the client is as many addresses from the right as there are proxies."""
    scope = await served(hops, *lines, kind=kind)
    assert scope["client"][0] == client
    assert scope["scheme"] == {"http": "https", "websocket": "wss"}[kind]


async def test_without_the_header_it_is_the_peer():
    """Such as a probe of the platform; and its scheme is still the proxy's."""
    scope = await served(1)
    assert (scope["client"], scope["scheme"]) == (PEER, "https")
