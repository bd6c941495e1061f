"""A network of hosts: Linux network namespaces on one bridge, which nothing outside can reach.

A namespace has no name: it is a file descriptor of this process, so it is gone with it, whatever
ends it. A thread that enters one makes its sockets there, and what it starts lives there.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from drills.programs import binary

NEW_NETWORK = 0x40000000  # CLONE_NEWNET of <sched.h>
CURRENT = Path("/proc/thread-self/ns/net")
SUBNET = "10.77.0"  # private, and without a way out: the namespaces have no default route
BRIDGE_NUMBER = 254


class NoNamespaces(Exception):
    """Network namespaces cannot be made here; the message says why."""


@dataclass(frozen=True)
class Place:
    """A namespace. number: the last part of its address."""

    name: str
    descriptor: int
    number: int

    @property
    def address(self) -> str:
        """Where others on the network find it."""
        return f"{SUBNET}.{self.number}"

    @property
    def mac(self) -> str:
        """Its address on the bridge, of those that nobody sells."""
        return f"02:00:00:00:00:{self.number:02x}"

    @property
    def port(self) -> str:
        """The bridge's end of its cable."""
        return f"port{self.number}"

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Have this thread in it for the length of the body, with all that it starts."""
        with CURRENT.open("rb") as before:
            _system("setns", self.descriptor, NEW_NETWORK)
            try:
                yield
            finally:
                _system("setns", before.fileno(), NEW_NETWORK)

    def ip(self, *words: str) -> None:
        """Run iproute2's `ip` in it. Raises NoNamespaces where that is refused."""
        with self.entered():
            done = subprocess.run(  # noqa: S603 - our own words
                [binary("ip"), *words], capture_output=True, text=True, check=False
            )
        if done.returncode:
            raise NoNamespaces(f"ip {' '.join(words)}: {done.stderr.strip()}")


class Network:
    """Hosts on a bridge. bridge: a place of its own, where whoever calls the hosts stands."""

    def __init__(self, bridge: Place, hosts: dict[str, Place]) -> None:
        self.bridge = bridge
        self.hosts = hosts

    def cut(self, name: str) -> None:
        """Take a host's cable out: no packet comes or goes, and nobody is told."""
        self.bridge.ip("link", "set", self.hosts[name].port, "down")

    def mend(self, name: str) -> None:
        """Put it back in."""
        self.bridge.ip("link", "set", self.hosts[name].port, "up")


@contextmanager
def network(names: Sequence[str]) -> Iterator[Network]:
    """Hosts of these names, for the length of the body, which stands at the bridge.

    Raises NoNamespaces, and NotInstalled where `ip` is missing.
    """
    binary("ip")
    with ExitStack() as stack:
        bridge = stack.enter_context(_namespace("bridge", BRIDGE_NUMBER))
        bridge.ip("link", "add", "bridge0", "address", bridge.mac, "type", "bridge")
        _up(bridge, "bridge0")
        hosts: dict[str, Place] = {}
        for number, name in enumerate(names, 1):
            host = hosts[name] = stack.enter_context(_namespace(name, number))
            there = f"/proc/{os.getpid()}/fd/{host.descriptor}"
            cable = ("type", "veth", "peer", "name", "eth0", "address", host.mac, "netns", there)
            bridge.ip("link", "add", host.port, *cable)
            bridge.ip("link", "set", host.port, "master", "bridge0", "up")
            _up(host, "eth0")
        _introduce([(bridge, "bridge0"), *((host, "eth0") for host in hosts.values())])
        stack.enter_context(bridge.entered())
        yield Network(bridge, hosts)


@contextmanager
def _namespace(name: str, number: int) -> Iterator[Place]:
    """A new one, with nothing but its loopback."""
    if not CURRENT.exists():
        raise NoNamespaces("network namespaces are Linux's")
    with CURRENT.open("rb") as before:
        _system("unshare", NEW_NETWORK)
        try:
            descriptor = os.open(CURRENT, os.O_RDONLY)
        finally:
            _system("setns", before.fileno(), NEW_NETWORK)
    try:
        place = Place(name, descriptor, number)
        place.ip("link", "set", "lo", "up")
        yield place
    finally:
        os.close(descriptor)


def _up(place: Place, device: str) -> None:
    """Give a device the place's address."""
    place.ip("address", "add", f"{place.address}/24", "dev", device)
    place.ip("link", "set", device, "up")


def _introduce(devices: Sequence[tuple[Place, str]]) -> None:
    """Tell each of the others, once for all.

    Else a host that is away would be noticed within seconds, as nobody says where it is. Behind a
    router, as in every cloud, nobody notices: what is sent goes nowhere.
    """
    for place, device in devices:
        for other, _ in devices:
            if other is not place:
                known = ("lladdr", other.mac, "dev", device, "nud", "permanent")
                place.ip("neighbour", "replace", other.address, *known)


def _system(call: str, *arguments: int) -> None:
    """Make a call of the system that Python has from 3.12 on. Raises NoNamespaces."""
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, call)(*arguments):
        reason = os.strerror(ctypes.get_errno())
        raise NoNamespaces(f"network namespaces cannot be made here, by root alone: {reason}")
