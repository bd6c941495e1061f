"""One probe says whether a port is free; a wildcard address is reached on the loopback."""

import socket

import pytest

from project.processes.ports import is_free, reachable_host


def test_a_port_is_free_until_something_listens():
    """And again afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert not is_free("127.0.0.1", port)
    assert is_free("127.0.0.1", port)


@pytest.mark.parametrize(
    ("bound", "reached"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "[::1]"),
        ("fd00::7", "[fd00::7]"),
        ("10.0.0.7", "10.0.0.7"),
    ],
)
def test_a_listener_is_reached_at_an_address_that_fits_a_url(bound, reached):
    """Nothing connects to a wildcard, and IPv6 has brackets in a URL."""
    assert reachable_host(bound) == reached
