"""Budgets: how often something costly may be asked for, by one source and by all together. Pure.

A handshake costs the box a signature, a stranger nothing. So before any cryptography a door asks its budget,
once over all sources and once for the asker's own network: a flood from one neighbour leaves the others their
share, and a flood from everywhere leaves the box its time. Nobody is banned: a bucket fills again by itself.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

import msgspec

#: Networks that are remembered, the latest last: bounds the memory that strangers can take.
SOURCES_MAX = 1024


class Rate(msgspec.Struct, frozen=True):
    """So many a second for long, and so many at once."""

    per_s: float
    burst: float


class Bucket:
    """Holds up to `burst` and fills by `per_s`."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._level = rate.burst
        self._at_s: float | None = None

    def level(self, now_s: float) -> float:
        """How much is in it. now_s: monotonic."""
        if self._at_s is not None and now_s > self._at_s:
            self._level = min(self._rate.burst, self._level + (now_s - self._at_s) * self._rate.per_s)
        self._at_s = now_s if self._at_s is None else max(self._at_s, now_s)
        return self._level

    def take(self, now_s: float, amount: float = 1) -> bool:
        """Take so much, if there is as much."""
        if self.level(now_s) < amount:
            return False
        self._level -= amount
        return True

    def wait_s(self, now_s: float, amount: float = 1) -> float:
        """After how long there is as much."""
        return max(0.0, amount - self.level(now_s)) / self._rate.per_s


class Sources:
    """A bucket for each source, made when it is first asked for; the least recent are forgotten."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._known: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def of(self, source: str) -> Bucket:
        """This source's own. A source is any text: a network, a key."""
        own = self._known.get(source)
        if own is None:
            own = self._known[source] = Bucket(self._rate)
            if len(self._known) > SOURCES_MAX:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(source)
        return own


class Budget:
    """One bucket for all and one for each source's network; both must have one to give."""

    def __init__(self, everyone: Rate, each: Rate) -> None:
        self._everyone = Bucket(everyone)
        self._half = everyone.burst / 2
        self._kept_for_friends = max(0.0, min(everyone.burst / 4, everyone.burst - 1))
        self._sources = Sources(each)
        self.refused = 0  #: for metrics

    def __len__(self) -> int:
        return len(self._sources)

    def pressed(self, now_s: float) -> bool:
        """Whether half of the common bucket is gone: time to ask strangers for a proof of their address."""
        return self._everyone.level(now_s) < self._half

    def admit(self, address: str, now_s: float, *, cost: float = 1, friend: bool = False) -> bool:
        """Whether this address may ask for something of this cost now. Takes from both buckets, or from none.

        friend: somebody known came from there lately; the last quarter of the common bucket is theirs.
        """
        own = self._sources.of(network(address))
        left = self._everyone.level(now_s) - (0 if friend else self._kept_for_friends)
        if own.level(now_s) < cost or left < cost or not self._everyone.take(now_s, cost):
            self.refused += 1
            return False
        return own.take(now_s, cost)


def network(address: str) -> str:
    """What one owner can have whole: an address of IPv4, a /64 of IPv6; other text stands for itself.

    No wider net for IPv4: on a LAN all neighbours share it, and one of them could use up everybody's share.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    prefix = 32 if mapped or ip.version == 4 else 64
    return str(ipaddress.ip_network((mapped or ip, prefix), strict=False))
