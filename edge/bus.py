"""The bus: what is on disk, told to whoever follows. Fed by the gateway's gate, so it never tells too early.

Followers are app links (filtered by policy) and taps (the uplink, metrics: everything). A follower that
cannot keep up is its own link's business: `push` never blocks, and its link cuts it (design §2.7).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from common import policy
from common.facts import Fact
from common.policy import Claims, view_for
from common.view import View
from common.wire import Snapshot, encode
from edge.gate import hand


class Follower(Protocol):
    """Who receives frames. `push` queues or cuts; it never waits and never raises."""

    def push(self, frame: bytes) -> None: ...


class Bus:
    """Fan-out of committed facts to followers and taps."""

    def __init__(self, site: str) -> None:
        self.site = site
        self._followers: dict[int, tuple[Follower, Claims, str, int]] = {}
        self._taps: list[Callable[[Fact], None]] = []

    def follow(self, follower: Follower, claims: Claims, epoch: str, seq: int) -> None:
        """Push every fact after (`epoch`, `seq`) that these claims may see. Replaces an earlier follow."""
        self._followers[id(follower)] = (follower, claims, epoch, seq)

    def leave(self, follower: Follower) -> None:
        """Stop pushing; unknown followers are ignored."""
        self._followers.pop(id(follower), None)

    def tap(self, tap: Callable[[Fact], None]) -> Callable[[], None]:
        """Hand every committed fact to `tap`; returns what removes it."""
        self._taps.append(tap)
        return lambda: self._taps.remove(tap)

    @property
    def followers(self) -> int:
        """How many follow now."""
        return len(self._followers)

    def following(self) -> list[tuple[Follower, Claims]]:
        """Everyone who follows, for a fresh snapshot after an epoch's rotation."""
        return [(follower, claims) for follower, claims, _, _ in self._followers.values()]

    def tell(self, fact: Fact) -> None:
        """A fact is on disk: push it."""
        for tap in tuple(self._taps):
            hand(tap, fact)
        if not self._followers:
            return
        frame = fact_frame(self.site, fact)
        for follower, claims, epoch, seq in tuple(self._followers.values()):
            if fact.epoch == epoch and fact.seq <= seq:
                continue  # the follower's snapshot already holds it
            if policy.visible(claims, fact.body):
                hand(follower.push, frame)


def snapshot_frame(view: View, claims: Claims, at: str) -> bytes:
    """`wire.Snapshot` of what these claims may see. at: site time."""
    seen = view_for(claims, view)
    return encode(Snapshot(site=seen.site, epoch=seen.epoch, seq=seen.seq, view=seen, at=at))


def fact_frame(site: str, fact: Fact) -> bytes:
    """`wire.FactMessage` with the record's bytes as first encoded; built by hand to encode nothing twice."""
    head = f'{{"kind":"fact","site":"{site}","epoch":"{fact.epoch}","seq":{fact.seq},"record":'
    return head.encode() + fact.record + b"}"
