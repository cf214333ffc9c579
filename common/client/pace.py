"""How long the client waits for what. Numbers with their reasons; tests hand in shorter ones."""

from __future__ import annotations

import msgspec

from common.supervise import Backoff


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds."""

    #: The LAN's head start over the cloud (design §11).
    cloud_delay_s: float = 0.15
    #: How long a path may be silent about a command before the other is tried (design §11).
    silence_s: float = 0.8
    #: Known addresses that have not answered after this long are probably old ones: mDNS joins in.
    search_after_s: float = 1.0
    #: A silent link is asked so often whether it is there: a cable out, a phone out of range.
    ping_every_s: float = 5.0
    #: An answer that says no more than "here": a radio that wakes up included.
    pong_within_s: float = 3.0
    #: How soon a failed path is tried again; a Wi-Fi that comes back is used within seconds.
    retry: Backoff = Backoff(base_ms=250, cap_ms=10_000, healthy_ms=5_000)
    #: A grant that could not be renewed is tried again on the same link.
    renew_every_s: float = 3600.0
