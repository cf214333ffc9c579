"""The threshold of the box's doors on the LAN: who may begin, who may stay, who has to wait. Pure.

    knock ──▶ stranger ──▶ known (a grant counted) ──▶ gone
      └ no budget, no place, or failed too often: nothing that costs is done for it

One for all doors that phones come by. It is asked before any cryptography. Nobody is banned: a bucket fills
again, and who fails again and again waits for a minute at most, counted by address and by key. An address
from which somebody was known lately has a share that strangers cannot use up, and does not wait.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable

from common.budget import SOURCES_MAX, Bucket, Budget, Rate, network
from common.ports import Clock

#: One over QUIC costs some 2.4 ms of the processor: 20 a second are a twentieth of the loop (design §10).
HANDSHAKES = Rate(per_s=20, burst=40)
#: One phone comes back at once when the Wi-Fi does, and tries every way that it knows; a terminal dials anew
#: for each line that is typed.
HANDSHAKES_EACH = Rate(per_s=5, burst=20)
#: What a handshake over TCP costs of one over QUIC (`python -m tests.bench webtransport` measures both).
TCP_COST = 0.25
#: Who is connected and has shown nothing yet; 5 s each, so hundreds of phones still find a place in a minute.
STRANGERS_MAX = 64
#: Of these, one source (an address, a /64) from which nobody was known lately.
STRANGERS_EACH = 16
#: Links of a box: more than the phones of one site, and with their queues still a bounded memory.
LINKS_MAX = 256
#: Failures that cost nothing: a person may be wrong, an app may be old.
FAILURES_FREE = 5
#: The longest wait, in s. The first is one second, and each one more doubles it.
WAIT_MAX_S = 60.0
#: Failures are forgotten when none came for so long, in s.
FORGET_AFTER_S = 600.0
#: Notes in the chain of what happens here: a flood must not fill the journal with its own story.
NOTES = Rate(per_s=12 / 3600, burst=12)

Noted = Callable[[str, str], None]


class Failures:
    """Who failed how often, and until when they wait. A source is any text: a network, a key."""

    def __init__(self, free: int = FAILURES_FREE) -> None:
        """free: so many cost nothing."""
        self._free = free
        self._known: OrderedDict[str, tuple[int, float]] = OrderedDict()  # how often, when last (s)

    def count(self, source: str, now_s: float) -> int:
        """One more; returns how many there are now. The least recent source is forgotten, not let through."""
        times, last_s = self._known.pop(source, (0, now_s))
        times = 1 if now_s - last_s > FORGET_AFTER_S else times + 1
        self._known[source] = (times, now_s)
        if len(self._known) > SOURCES_MAX:
            self._known.popitem(last=False)
        return times

    def waits(self, source: str, now_s: float) -> bool:
        """Whether this one has to wait still."""
        times, last_s = self._known.get(source, (0, 0.0))
        return now_s < last_s + wait_s(times - self._free)

    def forgive(self, source: str) -> None:
        """It has succeeded."""
        self._known.pop(source, None)


def wait_s(over: int) -> float:
    """How long to wait after so many failures more than are free, in s."""
    return 0.0 if over <= 0 else min(WAIT_MAX_S, 2.0 ** min(over - 1, 16))


class Threshold:
    """See the module."""

    def __init__(
        self,
        clock: Clock,
        *,
        everyone: Rate = HANDSHAKES,
        each: Rate = HANDSHAKES_EACH,
        strangers_max: int = STRANGERS_MAX,
        links_max: int = LINKS_MAX,
        failures_free: int = FAILURES_FREE,
        noted: Noted = lambda _what, _address: None,
    ) -> None:
        """noted: told of what an operator should know: what it is, and from which address."""
        self._clock = clock
        self._budget = Budget(everyone, each)
        self._strangers_max, self._links_max = strangers_max, links_max
        self._noted, self._notes = noted, Bucket(NOTES)
        self._failures = Failures(failures_free)
        self._free = failures_free
        self._friends: OrderedDict[str, None] = OrderedDict()
        self._waiting: Counter[str] = Counter()  # strangers by source
        self.strangers = 0
        self.links = 0
        self.refused = 0  #: knocks that were not let in, for metrics

    @property
    def pressed(self) -> bool:
        """Whether it is time to ask who knocks for a proof of their address, where a transport can.

        Half of the budget is gone, or a quarter of the strangers' places: forged addresses hold none then.
        """
        return self.strangers >= self._strangers_max // 4 or self._budget.pressed(self._now_s())

    def knock(self, address: str, cost: float = 1) -> Visit | None:
        """Somebody wants to begin what costs so much. None = not now: drop them before anything costs."""
        now_s, source = self._now_s(), network(address)
        friend = source in self._friends
        # A friend's network may be everybody's (a /64): a neighbour who fails on purpose must not lock it.
        if not friend and self._failures.waits(source, now_s):
            self.refused += 1
            return None
        full = self.links >= self._links_max or self._crowded(source, friend=friend)
        if full or not self._budget.admit(address, now_s, cost=cost, friend=friend):
            self.refused += 1
            self._note("too_many_links" if full else "too_many_handshakes", "")
            return None
        self.strangers += 1
        self.links += 1
        self._waiting[source] += 1
        return Visit(self, address)

    def _crowded(self, source: str, *, friend: bool) -> bool:
        """Whether there is no place for one more stranger. The last quarter is kept for friends."""
        if friend:
            return self.strangers >= self._strangers_max
        room = self._strangers_max - self._strangers_max // 4
        return self.strangers >= room or self._waiting[source] >= STRANGERS_EACH

    def waits(self, key: str) -> bool:
        """Whether the holder of this key has failed too often to be looked at now. key: its thumbprint."""
        return self._failures.waits(key, self._now_s())

    def failed(self, address: str, key: str) -> None:
        """A proof of whoever came from there was none. key: where one was proved."""
        now_s = self._now_s()
        times = self._failures.count(network(address), now_s)
        if key:
            self._failures.count(key, now_s)
        if times == self._free + 1:
            self._note("failed_logins", address)

    def no_stranger(self, address: str) -> None:
        """A stranger from there is gone, or none any more."""
        self.strangers -= 1
        self._waiting[network(address)] -= 1
        if not self._waiting[network(address)]:
            del self._waiting[network(address)]

    def known(self, address: str) -> None:
        """Somebody from there is who they say."""
        source = network(address)
        self._failures.forgive(source)
        self._friends[source] = None
        self._friends.move_to_end(source)
        if len(self._friends) > self._links_max:
            self._friends.popitem(last=False)

    def _note(self, what: str, address: str) -> None:
        if self._notes.take(self._now_s()):
            self._noted(what, address)

    def _now_s(self) -> float:
        return self._clock.mono_ms() / 1000


class Visit:
    """One who was let in: a stranger at first."""

    def __init__(self, threshold: Threshold, address: str) -> None:
        self.address = address
        self._threshold = threshold
        self._stranger, self._here = True, True

    def waits(self, key: str) -> bool:
        """See `Threshold.waits`."""
        return self._threshold.waits(key)

    def known(self) -> None:
        """They have shown a grant that counts."""
        if self._stranger and self._here:
            self._stranger = False
            self._threshold.no_stranger(self.address)
            self._threshold.known(self.address)

    def failed(self, key: str = "") -> None:
        """What they showed was none. Those who are known already may be wrong as often as they like."""
        if self._stranger:
            self._threshold.failed(self.address, key)

    def leave(self) -> None:
        """They are gone."""
        if self._here:
            self._here = False
            self._threshold.links -= 1
            if self._stranger:
                self._threshold.no_stranger(self.address)
