"""A network of hosts: Linux network namespaces on one bridge, isolated from other networks.

A namespace has no name: it is a file descriptor of this process, and ends with it. A thread that
enters one opens its sockets there, and so do the processes that it starts.
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
SUBNET = "10.77.0"  # private; the namespaces have no default route
BRIDGE_NUMBER = 254


class NoNamespaces(Exception):
    """Network namespaces cannot be created here; the message says why."""


@dataclass(frozen=True)
class Namespace:
    """A namespace. number: the last part of its address."""

    name: str
    descriptor: int
    number: int

    @property
    def address(self) -> str:
        """IPv4 address."""
        return f"{SUBNET}.{self.number}"

    @property
    def mac(self) -> str:
        """MAC address, locally administered."""
        return f"02:00:00:00:00:{self.number:02x}"

    @property
    def port(self) -> str:
        """Name of the bridge's end of its veth pair."""
        return f"port{self.number}"

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Move this thread and what it starts into it while the context is open."""
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
    """Hosts on a bridge. bridge: the namespace of the clients."""

    def __init__(self, bridge: Namespace, hosts: dict[str, Namespace]) -> None:
        self.bridge = bridge
        self.hosts = hosts

    def cut(self, name: str) -> None:
        """Partition a host: packets in both directions are dropped silently."""
        self.bridge.ip("link", "set", self.hosts[name].port, "down")

    def heal(self, name: str) -> None:
        """End the partition."""
        self.bridge.ip("link", "set", self.hosts[name].port, "up")


@contextmanager
def network(names: Sequence[str]) -> Iterator[Network]:
    """Hosts of these names while the context is open, which runs in the bridge's namespace.

    Raises NoNamespaces, and NotInstalled where `ip` is missing.
    """
    binary("ip")
    with ExitStack() as stack:
        bridge = stack.enter_context(_namespace("bridge", BRIDGE_NUMBER))
        bridge.ip("link", "add", "bridge0", "address", bridge.mac, "type", "bridge")
        _up(bridge, "bridge0")
        hosts: dict[str, Namespace] = {}
        for number, name in enumerate(names, 1):
            host = hosts[name] = stack.enter_context(_namespace(name, number))
            there = f"/proc/{os.getpid()}/fd/{host.descriptor}"
            cable = ("type", "veth", "peer", "name", "eth0", "address", host.mac, "netns", there)
            bridge.ip("link", "add", host.port, *cable)
            bridge.ip("link", "set", host.port, "master", "bridge0", "up")
            _up(host, "eth0")
        _fix_neighbours([(bridge, "bridge0"), *((host, "eth0") for host in hosts.values())])
        stack.enter_context(bridge.entered())
        yield Network(bridge, hosts)


@contextmanager
def _namespace(name: str, number: int) -> Iterator[Namespace]:
    """A new namespace with a loopback only."""
    if not CURRENT.exists():
        raise NoNamespaces("network namespaces are Linux's")
    with CURRENT.open("rb") as before:
        _system("unshare", NEW_NETWORK)
        try:
            descriptor = os.open(CURRENT, os.O_RDONLY)
        finally:
            _system("setns", before.fileno(), NEW_NETWORK)
    try:
        namespace = Namespace(name, descriptor, number)
        namespace.ip("link", "set", "lo", "up")
        yield namespace
    finally:
        os.close(descriptor)


def _up(namespace: Namespace, device: str) -> None:
    """Assign the namespace's address to a device."""
    namespace.ip("address", "add", f"{namespace.address}/24", "dev", device)
    namespace.ip("link", "set", device, "up")


def _fix_neighbours(devices: Sequence[tuple[Namespace, str]]) -> None:
    """Add permanent neighbour entries for all others.

    Otherwise a partition would show within seconds, as ARP gets no answer. Behind a router, as in
    every cloud, it does not: packets are lost.
    """
    for namespace, device in devices:
        for other, _ in devices:
            if other is not namespace:
                known = ("lladdr", other.mac, "dev", device, "nud", "permanent")
                namespace.ip("neighbour", "replace", other.address, *known)


def _system(call: str, *arguments: int) -> None:
    """A system call that Python has from 3.12 on. Raises NoNamespaces."""
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, call)(*arguments):
        reason = os.strerror(ctypes.get_errno())
        raise NoNamespaces(f"network namespaces cannot be created here, which takes root: {reason}")
