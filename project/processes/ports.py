"""Addresses and ports of this machine: whether one is free, and where a listener is reached."""

import socket

LOOPBACK = "127.0.0.1"
LOOPBACKS = {"0.0.0.0": LOOPBACK, "::": "::1"}  # noqa: S104 - wildcard → where it is reached


def probe_port(host: str, port: int) -> None:
    """Bind a port and release it at once. Raises OSError where this process cannot listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        probe.bind((host, port))


def is_free(host: str, port: int) -> bool:
    """Whether this process can listen there."""
    try:
        probe_port(host, port)
    except OSError:
        return False
    return True


def reachable_host(host: str) -> str:
    """The host part of a URL that reaches a listener from this machine.

    host: the address that the listener is bound to. A wildcard becomes the loopback address of its
    family; an IPv6 address gets its brackets (RFC 3986, section 3.2.2).
    """
    address = LOOPBACKS.get(host, host)
    return f"[{address}]" if ":" in address else address
