"""A local network of several hosts: a namespace each, a cable to one switch, and no way out.

Needs `ip` and the right to make namespaces. netem is not in every kernel, so what a bad network does is done
by what every one has: a port of the switch that is down is a pulled cable; a neighbour entry with a wrong
hardware address loses everything that one host sends to another, and nothing of what comes back.
"""

from __future__ import annotations

import os
import subprocess
from types import TracebackType
from typing import Self

from tests.needs import find_tool

_NOBODYS = "02:00:00:00:00:01"


def ip(*words: str) -> None:
    """Run iproute2. Raises CalledProcessError."""
    tool = find_tool("ip")
    assert tool is not None
    subprocess.run([tool, *words], check=True, capture_output=True)


class Lan:
    """Hosts by name, each with its address of 10.77.0.0/24 on `eth0`. `with` it: all is gone afterwards."""

    def __init__(self, hosts: dict[str, str]) -> None:
        self.addresses = dict(hosts)
        self._made: list[str] = []

    def __enter__(self) -> Self:
        try:
            self._make("switch")
            self._ip("switch", "link", "add", "br0", "type", "bridge")
            self._ip("switch", "link", "set", "br0", "up")
            for host in self.addresses:
                self._plug(host)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in self._made:
            ip("netns", "delete", self._namespace(name))
        self._made.clear()

    def inside(self, host: str) -> tuple[str, ...]:
        """The words before a command that make it one of this host: its process becomes the command's."""
        tool = find_tool("ip")
        assert tool is not None
        return (tool, "netns", "exec", self._namespace(host))

    def pull(self, host: str) -> None:
        """Its cable is pulled out of the switch."""
        self._ip("switch", "link", "set", host, "down")

    def plug(self, host: str) -> None:
        """And put back."""
        self._ip("switch", "link", "set", host, "up")

    def lose(self, host: str, to: str) -> None:
        """From now on nothing that `host` sends to `to` arrives."""
        entry = ("replace", self.addresses[to], "lladdr", _NOBODYS, "nud", "permanent", "dev", "eth0")
        self._ip(host, "neigh", *entry)

    def find(self, host: str, to: str) -> None:
        """It arrives again."""
        self._ip(host, "neigh", "delete", self.addresses[to], "dev", "eth0")

    def move(self, host: str, address: str) -> None:
        """Its interface goes down and comes up with another address, as after a new lease."""
        self._ip(host, "link", "set", "eth0", "down")
        self._ip(host, "address", "flush", "dev", "eth0", "scope", "global")
        self.addresses[host] = address
        self._up(host)

    def _make(self, name: str) -> None:
        ip("netns", "add", self._namespace(name))
        self._made.append(name)

    def _plug(self, host: str) -> None:
        self._make(host)
        there = ("netns", self._namespace("switch"))
        self._ip(host, "link", "add", "eth0", "type", "veth", "peer", "name", host, *there)
        self._ip("switch", "link", "set", host, "master", "br0", "up")
        self._ip(host, "link", "set", "lo", "up")
        self._up(host)

    def _up(self, host: str) -> None:
        self._ip(host, "address", "add", f"{self.addresses[host]}/24", "dev", "eth0")
        self._ip(host, "link", "set", "eth0", "up")
        self._ip(host, "route", "replace", "224.0.0.0/4", "dev", "eth0")

    def _ip(self, host: str, *words: str) -> None:
        ip("-n", self._namespace(host), *words)

    @staticmethod
    def _namespace(name: str) -> str:
        return f"plugside-{os.getpid()}-{name}"
