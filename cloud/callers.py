"""Callers: who counts as one, and how many of their links may be strangers at a time. Pure.

A link is a stranger until it has shown a grant, or signed a hello. A stranger may make us hold one frame of
the largest size that is ever taken, for the few seconds it has to say who it is; so there may be few.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

#: Strangers of one caller at a time: 16 × 4 MiB. A household, an office, a test suite have two or three.
STRANGERS_MAX = 16


def caller_of(address: str) -> str:
    """What counts as one caller: an IPv4 address, or a /64, which one subscriber owns."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 6:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address


def crowded(address: str, strangers: Iterable[str]) -> bool:
    """Whether one more stranger from here would be too many. strangers: the addresses of those there are."""
    caller = caller_of(address)
    return sum(caller_of(stranger) == caller for stranger in strangers) >= STRANGERS_MAX
